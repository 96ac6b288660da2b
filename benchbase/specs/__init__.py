"""What a plugin says about each part it offers: frozen specs, checked when they are made.

A spec describes; the object that its `build` returns acts. Nothing here imports torch, numpy or data.
"""

from .config import (
    CombinerConfig,
    Config,
    HeadConfig,
    LayoutConfig,
    ScorerConfig,
    SequenceConfig,
    check_heads,
    defaults,
)
from .contexts import BuildContext, DataContext
from .names import API, ATTENTION, LAWS, LAYOUTS, RESERVED, SCOPES, SITES, TASKS, TRAINING
from .needs import Needs, Negatives, Source
from .parts import (
    KINDS,
    BackboneSpec,
    CombinerSpec,
    CompressorSpec,
    DatasetSpec,
    EncoderSpec,
    ExplainerSpec,
    ModifierSpec,
    ObjectiveSpec,
    RecommenderSpec,
    Resolvable,
    Spec,
)

__all__ = [
    "API",
    "ATTENTION",
    "KINDS",
    "LAWS",
    "LAYOUTS",
    "RESERVED",
    "SCOPES",
    "SITES",
    "TASKS",
    "TRAINING",
    "BackboneSpec",
    "BuildContext",
    "CombinerConfig",
    "CombinerSpec",
    "CompressorSpec",
    "Config",
    "DataContext",
    "DatasetSpec",
    "EncoderSpec",
    "ExplainerSpec",
    "HeadConfig",
    "LayoutConfig",
    "ModifierSpec",
    "Needs",
    "Negatives",
    "ObjectiveSpec",
    "RecommenderSpec",
    "Resolvable",
    "ScorerConfig",
    "SequenceConfig",
    "Source",
    "Spec",
    "check_heads",
    "defaults",
]
