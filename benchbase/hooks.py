"""The registration hooks: each takes no argument and returns a list of frozen specs.

Implement one as a module-level function marked `@hookimpl` in a package whose entry point stands in the
group `benchbase`. Hooks describe what is offered; nothing is called per training step.
"""

import pluggy

from .specs import (
    BackboneSpec,
    CombinerSpec,
    CompressorSpec,
    DatasetSpec,
    EncoderSpec,
    ExplainerSpec,
    ModifierSpec,
    ObjectiveSpec,
    RecommenderSpec,
)

PROJECT = "benchbase"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def benchbase_datasets() -> list[DatasetSpec]:
    """Data sets: each builds a log of interactions and a catalogue from files, or generates them."""
    raise NotImplementedError


@hookspec
def benchbase_backbones() -> list[BackboneSpec]:
    """Backbones: each builds a module from tokens to states."""
    raise NotImplementedError


@hookspec
def benchbase_modifiers() -> list[ModifierSpec]:
    """Modifiers: each builds a module that changes attention at declared sites."""
    raise NotImplementedError


@hookspec
def benchbase_objectives() -> list[ObjectiveSpec | CombinerSpec]:
    """Objectives (loss terms, example weights, score terms) and combiners that own backward."""
    raise NotImplementedError


@hookspec
def benchbase_compressors() -> list[CompressorSpec]:
    """Compressors: each builds a module that turns a long history into few prefix tokens."""
    raise NotImplementedError


@hookspec
def benchbase_encoders() -> list[EncoderSpec]:
    """Encoders: each builds a module from what is known of items to vectors of items."""
    raise NotImplementedError


@hookspec
def benchbase_explainers() -> list[ExplainerSpec]:
    """Explainers: each builds an object that says which past events speak for a recommendation, and a sentence."""
    raise NotImplementedError


@hookspec
def benchbase_recommenders() -> list[RecommenderSpec]:
    """Whole recommenders that are no torch sequence model."""
    raise NotImplementedError


HOOKS: dict[str, tuple[str, ...]] = {
    "benchbase_datasets": ("dataset",),
    "benchbase_backbones": ("backbone",),
    "benchbase_modifiers": ("modifier",),
    "benchbase_objectives": ("objective", "combiner"),
    "benchbase_compressors": ("compressor",),
    "benchbase_encoders": ("encoder",),
    "benchbase_explainers": ("explainer",),
    "benchbase_recommenders": ("recommender",),
}
"""Each hook and the kinds of spec it may return."""
