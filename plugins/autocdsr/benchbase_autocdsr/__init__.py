"""AutoCDSR: attention across domains as a loss of its own, balanced against the recommendation's."""

from typing import TYPE_CHECKING

from benchbase import BackboneSpec, BuildContext, CombinerSpec, ModifierSpec, Needs, ObjectiveSpec, Source, hookimpl

from .config import (
    BottleneckAttentionConfig,
    BottleneckConfig,
    CrossDomainConfig,
    DomainEncodersConfig,
    FixedConfig,
    JacobianConfig,
    LiteralConfig,
    MGDAConfig,
    ParetoConfig,
)

if TYPE_CHECKING:
    from benchbase.nn import Backbone, Combiner, Modifier, Objective

SITES = frozenset({"prefix", "mask", "bias", "boost", "value", "weights", "states", "readout"})
CORE_SITES = frozenset({"prefix", "readout"})
"""Sites that are there without attention of the core's."""

SOURCE = Source(
    paper="Revisiting Self-attention for Cross-domain Sequential Recommendation",
    url="https://arxiv.org/abs/2505.21811",
    code="https://github.com/snap-research/AutoCDSR",
)
MGDA_SOURCE = Source(
    paper="Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018",
    url="https://arxiv.org/abs/1810.04650",
)
JD_SOURCE = Source(
    paper="Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024",
    url="https://arxiv.org/abs/2406.16232", code="https://github.com/TorchJD/torchjd",
)


def build_attention(config: CrossDomainConfig, context: BuildContext) -> "Objective":
    from .attention import CrossDomainAttention  # torch arrives only when a run needs it

    return CrossDomainAttention(config, context)


def build_tokens(config: BottleneckConfig, context: BuildContext) -> "Modifier":
    from .bottleneck import BottleneckTokens

    return BottleneckTokens(config, context)


def build_bottleneck(config: BottleneckAttentionConfig, context: BuildContext) -> "Objective":
    from .bottleneck import BottleneckAttention

    return BottleneckAttention(config, context)


def build_domain_attention(config: BottleneckAttentionConfig, context: BuildContext) -> "Objective":
    from .encoders import DomainBottleneckAttention

    return DomainBottleneckAttention(config, context)


def build_encoders(config: DomainEncodersConfig, context: BuildContext) -> "Backbone":
    from .encoders import DomainEncoders

    return DomainEncoders(config, context)


def attention_of(config: DomainEncodersConfig) -> str:
    return "softmax" if config.shared_layers else "none"


def sites_of(config: DomainEncodersConfig) -> frozenset[str]:
    return SITES if config.shared_layers else CORE_SITES


def traces_of(config: DomainEncodersConfig) -> frozenset[str]:
    return frozenset({"ib_attention"} if config.tokens else ())


def refuse_layers(config: BottleneckConfig, context: BuildContext) -> str | None:
    if context.n_layers and config.after is not None and (wrong := [n for n in config.after if n >= context.n_layers]):
        return f"after names layer {wrong[0]} of a backbone of {context.n_layers}, counted from 0"
    return None


def build_fixed(config: FixedConfig, context: BuildContext) -> "Combiner":
    from .combiners import FixedAlpha

    return FixedAlpha(config, context)


def build_pareto(config: ParetoConfig, context: BuildContext) -> "Combiner":
    from .combiners import Pareto

    return Pareto(config, context)


def build_mgda(config: MGDAConfig, context: BuildContext) -> "Combiner":
    from .combiners import MGDA

    return MGDA(config, context)


def build_jacobian(config: JacobianConfig, context: BuildContext) -> "Combiner":
    from .combiners import JacobianDescent

    return JacobianDescent(config, context)


def build_literal(config: LiteralConfig, context: BuildContext) -> "Combiner":
    from .combiners import ParetoLiteral

    return ParetoLiteral(config, context)


@hookimpl
def benchbase_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="domain_encoders", config=DomainEncodersConfig, build=build_encoders, source=SOURCE,
            training="masked", causal=False, attention=attention_of, sites=sites_of, publishes=traces_of,
            needs=Needs(domains=True),
        ),
    ]


@hookimpl
def benchbase_modifiers() -> list[ModifierSpec]:
    return [
        ModifierSpec(
            name="ib_tokens", config=BottleneckConfig, build=build_tokens, source=SOURCE, refuse=refuse_layers,
            sites=frozenset({"prefix", "mask", "states"}), publishes=frozenset({"ib_tokens"}), reads_events=True,
            needs=Needs(domains=True, attention=frozenset({"softmax"})),
        ),
    ]


@hookimpl
def benchbase_objectives() -> list[ObjectiveSpec | CombinerSpec]:
    return [
        ObjectiveSpec(
            name="cross_domain_attention", config=CrossDomainConfig, build=build_attention, source=SOURCE,
            needs=Needs(groups=True, domains=True, attention=frozenset({"softmax"})),
        ),
        ObjectiveSpec(
            name="ib_attention", config=BottleneckAttentionConfig, build=build_bottleneck, source=SOURCE,
            needs=Needs(groups=True, domains=True, attention=frozenset({"softmax"}), traces=frozenset({"ib_tokens"})),
        ),
        ObjectiveSpec(
            name="domain_ib_attention", config=BottleneckAttentionConfig, build=build_domain_attention, source=SOURCE,
            needs=Needs(domains=True, traces=frozenset({"ib_attention"})),
        ),
        CombinerSpec(name="fixed_alpha", config=FixedConfig, build=build_fixed, source=SOURCE),
        CombinerSpec(name="pareto", config=ParetoConfig, build=build_pareto, source=SOURCE),
        CombinerSpec(name="pareto_literal", config=LiteralConfig, build=build_literal, source=SOURCE),
        CombinerSpec(name="jacobian_descent", config=JacobianConfig, build=build_jacobian, source=JD_SOURCE),
        CombinerSpec(name="mgda", config=MGDAConfig, build=build_mgda, source=MGDA_SOURCE),
    ]
