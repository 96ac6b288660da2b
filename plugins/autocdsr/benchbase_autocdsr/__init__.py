"""AutoCDSR: attention across domains as a loss of its own, balanced against the recommendation's."""

from typing import TYPE_CHECKING

from benchbase import BuildContext, CombinerSpec, Needs, ObjectiveSpec, Source, hookimpl

from .config import CrossDomainConfig, FixedConfig, JacobianConfig, LiteralConfig, MGDAConfig, ParetoConfig

if TYPE_CHECKING:
    from benchbase.nn import Combiner, Objective

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
def benchbase_objectives() -> list[ObjectiveSpec | CombinerSpec]:
    return [
        ObjectiveSpec(
            name="cross_domain_attention", config=CrossDomainConfig, build=build_attention, source=SOURCE,
            needs=Needs(groups=True, domains=True, attention=frozenset({"softmax"})),
        ),
        CombinerSpec(name="fixed_alpha", config=FixedConfig, build=build_fixed, source=SOURCE),
        CombinerSpec(name="pareto", config=ParetoConfig, build=build_pareto, source=SOURCE),
        CombinerSpec(name="pareto_literal", config=LiteralConfig, build=build_literal, source=SOURCE),
        CombinerSpec(name="jacobian_descent", config=JacobianConfig, build=build_jacobian, source=JD_SOURCE),
        CombinerSpec(name="mgda", config=MGDAConfig, build=build_mgda, source=MGDA_SOURCE),
    ]
