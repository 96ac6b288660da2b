"""CausalRec: relations between the items of a sequence, discovered in an early layer, boost attention in later ones."""

from typing import TYPE_CHECKING

from benchbase import BuildContext, ModifierSpec, Needs, ObjectiveSpec, Source, hookimpl

from .config import CausalBoostConfig, CausalDagConfig

if TYPE_CHECKING:
    from benchbase.nn import Modifier, Objective

SOURCE = Source(
    paper="CausalRec: A CausalBoost Attention Model for Sequential Recommendation, 2025",
    url="https://arxiv.org/abs/2510.21333",
)


def build_boost(config: CausalBoostConfig, context: BuildContext) -> "Modifier":
    from .boost import CausalBoost  # torch arrives only when a run needs it

    return CausalBoost(config, context)


def build_dag(config: CausalDagConfig, context: BuildContext) -> "Objective":
    from .dag import CausalDag

    return CausalDag(config)


def boost_sites(config: CausalBoostConfig) -> frozenset[str]:
    return frozenset({"states", config.site})


def boost_needs(config: CausalBoostConfig) -> Needs:
    """Rows that sum to 1 are softmax attention's."""
    return Needs(attention=frozenset({"softmax"} if config.renormalised else {"softmax", "pointwise"}))


@hookimpl
def benchbase_modifiers() -> list[ModifierSpec]:
    return [ModifierSpec(
        name="causal_boost", config=CausalBoostConfig, build=build_boost, source=SOURCE, sites=boost_sites,
        publishes=frozenset({"relation", "acyclicity", "sparsity"}), needs=boost_needs,
    )]


@hookimpl
def benchbase_objectives() -> list[ObjectiveSpec]:
    return [ObjectiveSpec(
        name="causal_dag", config=CausalDagConfig, build=build_dag, source=SOURCE,
        needs=Needs(traces=frozenset({"relation", "acyclicity", "sparsity"})),
    )]
