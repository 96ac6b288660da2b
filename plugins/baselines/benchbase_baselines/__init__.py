"""Baselines without a training loop: popularity, a Markov chain, item neighbours, EASE, alternating least squares."""

import importlib.util
from typing import TYPE_CHECKING

from benchbase import BuildContext, Needs, RecommenderSpec, Source, hookimpl

from .config import EASEConfig, IALSConfig, ItemKNNConfig, MarkovConfig, PopularityConfig, RecentPopularityConfig

if TYPE_CHECKING:
    from .ease import EASE
    from .ials import IALS
    from .itemknn import ItemKNN
    from .markov import Markov
    from .popularity import Popularity
    from .recent import RecentPopularity


def build_popularity(config: PopularityConfig, context: BuildContext) -> "Popularity":
    from .popularity import Popularity  # numpy and scipy arrive only when a run needs them

    return Popularity(config)


def build_recent_popularity(config: RecentPopularityConfig, context: BuildContext) -> "RecentPopularity":
    from .recent import RecentPopularity

    return RecentPopularity(config)


def build_markov(config: MarkovConfig, context: BuildContext) -> "Markov":
    from .markov import Markov

    return Markov(config)


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


def build_ials(config: IALSConfig, context: BuildContext) -> "IALS":
    from .ials import IALS

    return IALS(config)


def refuse_ials(config: IALSConfig, context: BuildContext) -> str | None:
    """An environment without the library that factorises."""
    if importlib.util.find_spec("implicit"):
        return None
    return ("ials: the library implicit is not installed. Expected the extra `ials` of benchbase-baselines. "
            "Install the library: pip install 'implicit>=0.7.2'.")


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
            name="recent_popularity",
            config=RecentPopularityConfig,
            build=build_recent_popularity,
            needs=Needs(time=True),
            deterministic=True,
            source=Source(
                paper="Ji et al., A Re-visit of the Popularity Baseline in Recommender Systems, SIGIR 2020",
                url="https://arxiv.org/abs/2005.13829",
            ),
        ),
        RecommenderSpec(
            name="markov",
            config=MarkovConfig,
            build=build_markov,
            deterministic=True,
            source=Source(
                paper="MacKay and Peto, A Hierarchical Dirichlet Language Model, Natural Language Engineering 1, 1995",
                url="https://doi.org/10.1017/S1351324900000218",
            ),
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
        RecommenderSpec(
            name="ials",
            config=IALSConfig,
            build=build_ials,
            refuse=refuse_ials,
            source=Source(
                paper="Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008",
                url="https://doi.org/10.1109/ICDM.2008.22",
                code="https://github.com/benfred/implicit",
            ),
        ),
    ]
