"""The parts of LLM4Rec, each by itself: so far its debiasing of what was shown, of what is popular and of who asks,
what it holds on to in a stream, item vectors out of what is known of items, a language model over them, retrieval of
what is near, and explanations.
"""

from typing import TYPE_CHECKING

from benchbase import (
    BackboneSpec,
    BuildContext,
    EncoderSpec,
    ExplainerSpec,
    ModifierSpec,
    Needs,
    ObjectiveSpec,
    Source,
    hookimpl,
)

from .config import (
    BackdoorConfig,
    CausalLMConfig,
    EvidenceConfig,
    EWCConfig,
    IPSConfig,
    MultimodalConfig,
    ParityConfig,
    RetrievalConfig,
    TemplateConfig,
    TextExplainerConfig,
)

if TYPE_CHECKING:
    from benchbase.data import Explainer
    from benchbase.nn import Backbone, Encoder, Modifier, Objective

SOURCE = Source(
    paper="Ma et al. 2025, LLM4Rec: Large Language Models for Multimodal Generative Recommendation with Causal "
          "Debiasing",
    url="https://arxiv.org/abs/2510.01622",
)


def build_ips(config: IPSConfig, context: BuildContext) -> "Objective":
    from .ips import InversePropensity  # torch arrives only when a run needs it

    return InversePropensity(config, context)


def build_backdoor(config: BackdoorConfig, context: BuildContext) -> "Objective":
    from .backdoor import PopularityBackdoor

    return PopularityBackdoor(config, context)


def build_parity(config: ParityConfig, context: BuildContext) -> "Objective":
    from .parity import DemographicParity

    return DemographicParity(config, context)


def build_ewc(config: EWCConfig, context: BuildContext) -> "Objective":
    from .ewc import ElasticWeights

    return ElasticWeights(config, context)


def build_multimodal(config: MultimodalConfig, context: BuildContext) -> "Encoder":
    from .multimodal import Multimodal

    return Multimodal(config, context)


def needs_of_multimodal(config: MultimodalConfig) -> Needs:
    columns = frozenset({*config.text, *config.numbers, *config.times, *config.place})
    return Needs(features=columns, categories=frozenset(config.categories), vectors=frozenset(config.vectors))


def refuse_multimodal(config: MultimodalConfig, context: BuildContext) -> str | None:
    from .features import why_not

    return why_not(config, context)


def build_retrieval(config: RetrievalConfig, context: BuildContext) -> "Modifier":
    from .retrieval import Retrieval

    return Retrieval(config, context)


def needs_of_retrieval(config: RetrievalConfig) -> Needs:
    return Needs(tasks=frozenset({"next_item"}), causal=True, features=frozenset(config.text),
                 time=config.k > 0 and (config.decay > 0 or config.credibility > 0))


def refuse_retrieval(config: RetrievalConfig, context: BuildContext) -> str | None:
    from .features import why_no_text

    return why_no_text(config, context.catalogue, "retrieval") if config.k else None


def build_causal_lm(config: CausalLMConfig, context: BuildContext) -> "Backbone":
    from .causal_lm import CausalLM

    return CausalLM(config, context)


def refuse_causal_lm(config: CausalLMConfig, context: BuildContext) -> str | None:
    from .causal_lm import why_not

    return why_not(config, context)


def build_template(config: TemplateConfig, context: BuildContext) -> "Explainer":
    from .template import Template

    return Template(config, context)


def build_text(config: TextExplainerConfig, context: BuildContext) -> "Explainer":
    from .causal_lm_text import CausalLMText

    return CausalLMText(config, context)


def refuse_text(config: TextExplainerConfig, context: BuildContext) -> None:
    from .causal_lm_text import why_not

    return why_not(config)


def needs_of_evidence(config: EvidenceConfig) -> Needs:
    return Needs(attention=frozenset({"softmax"}) if config.evidence == "attention" else None,
                 categories=config.evidence == "categories")


def needs_of_parity(config: ParityConfig) -> Needs:
    return Needs(user_groups=frozenset({config.group}))


def needs_of_ips(config: IPSConfig) -> Needs:
    column = frozenset({config.column})
    return Needs(features=column if config.propensity == "column" else frozenset(),
                 marks=column if config.propensity == "mark" else frozenset())


def refuse_ips(config: IPSConfig, context: BuildContext) -> str | None:
    from .propensity import why_not

    return why_not(config, context)


@hookimpl
def benchbase_objectives() -> list[ObjectiveSpec]:
    return [
        ObjectiveSpec(name="ips", config=IPSConfig, build=build_ips, source=SOURCE, needs=needs_of_ips,
                      refuse=refuse_ips),
        ObjectiveSpec(name="popularity_backdoor", config=BackdoorConfig, build=build_backdoor, source=SOURCE),
        ObjectiveSpec(name="demographic_parity", config=ParityConfig, build=build_parity, source=SOURCE,
                      needs=needs_of_parity),
        ObjectiveSpec(name="ewc", config=EWCConfig, build=build_ewc, source=SOURCE, needs=Needs(stream=True)),
    ]


@hookimpl
def benchbase_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(name="multimodal", config=MultimodalConfig, build=build_multimodal, source=SOURCE,
                    needs=needs_of_multimodal, refuse=refuse_multimodal),
    ]


@hookimpl
def benchbase_modifiers() -> list[ModifierSpec]:
    return [
        ModifierSpec(name="retrieval", config=RetrievalConfig, build=build_retrieval, source=SOURCE,
                     sites=frozenset({"readout"}), needs=needs_of_retrieval, refuse=refuse_retrieval),
    ]


@hookimpl
def benchbase_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(name="causal_lm", config=CausalLMConfig, build=build_causal_lm, source=SOURCE,
                     sites=frozenset({"prefix", "mask", "bias", "boost", "weights", "states", "readout"}),
                     refuse=refuse_causal_lm),
    ]


@hookimpl
def benchbase_explainers() -> list[ExplainerSpec]:
    return [
        ExplainerSpec(name="template", config=TemplateConfig, build=build_template, source=SOURCE,
                      needs=needs_of_evidence),
        ExplainerSpec(name="causal_lm_text", config=TextExplainerConfig, build=build_text, source=SOURCE,
                      needs=needs_of_evidence, refuse=refuse_text),
    ]
