"""Baselines without training: popularity, item neighbours, and EASE's closed form."""

from typing import TYPE_CHECKING

from benchbase import BuildContext, RecommenderSpec, Source, hookimpl

from .config import EASEConfig, ItemKNNConfig, PopularityConfig

if TYPE_CHECKING:
    from .ease import EASE
    from .itemknn import ItemKNN
    from .popularity import Popularity


def build_popularity(config: PopularityConfig, context: BuildContext) -> "Popularity":
    from .popularity import Popularity  # numpy and scipy arrive only when a run needs them

    return Popularity(config)


def build_itemknn(config: ItemKNNConfig, context: BuildContext) -> "ItemKNN":
    from .itemknn import ItemKNN

    return ItemKNN(config)


def build_ease(config: EASEConfig, context: BuildContext) -> "EASE":
    from .ease import EASE

    return EASE(config)


def refuse_ease(config: EASEConfig, context: BuildContext) -> str | None:
    """A catalogue whose item-item matrix would not fit."""
    itemsize = 8 if config.precision == "float64" else 4
    need = context.n_items**2 * itemsize * 1.1 / 2**30  # one matrix, and blocks on the way to it
    if need <= config.memory_gib:
        return None
    smaller = " or set precision: float32" if config.precision == "float64" else ""
    return (f"ease: an item-item matrix of {context.n_items:,} items takes {need:.1f} GiB. "
            f"Expected at most memory_gib: {config.memory_gib:g}. Raise it{smaller}.")


@hookimpl
def benchbase_recommenders() -> list[RecommenderSpec]:
    return [
        RecommenderSpec(
            name="popularity",
            config=PopularityConfig,
            build=build_popularity,
            deterministic=True,
            guard=True,
            source="folklore: most popular first",
        ),
        RecommenderSpec(
            name="itemknn",
            config=ItemKNNConfig,
            build=build_itemknn,
            deterministic=True,
            guard=True,
            source=Source(
                paper="Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, TOIS 22(1), 2004",
                url="https://doi.org/10.1145/963770.963776",
            ),
        ),
        RecommenderSpec(
            name="ease",
            config=EASEConfig,
            build=build_ease,
            refuse=refuse_ease,
            deterministic=True,
            source=Source(
                paper="Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019",
                url="https://arxiv.org/abs/1905.03375",
            ),
        ),
    ]
