"""CAUSE: what is older than the window, as one token for each of a few categories; and rivals of such tokens."""

from typing import TYPE_CHECKING

from benchbase import BuildContext, CompressorSpec, Needs, Source, hookimpl

from .config import CauseConfig, MeanPoolConfig, PMAConfig, RecentOnlyConfig

if TYPE_CHECKING:
    from benchbase.nn import Compressor

SOURCE = Source(
    paper="Accelerating Generative Recommendation via Simple Categorical User Sequence Compression, WSDM 2026",
    url="https://arxiv.org/abs/2601.19158",
)
PMA_SOURCE = Source(
    paper="Lee et al., Set Transformer: pooling by multihead attention, ICML 2019",
    url="https://arxiv.org/abs/1810.00825", code="https://github.com/juho-lee/set_transformer",
)


def build_cause(config: CauseConfig, context: BuildContext) -> "Compressor":
    from .compressor import Cause  # torch arrives only when a run needs it

    return Cause(config, context)


def build_recent(config: RecentOnlyConfig, context: BuildContext) -> "Compressor":
    from .rivals import RecentOnly

    return RecentOnly(config)


def build_mean(config: MeanPoolConfig, context: BuildContext) -> "Compressor":
    from .rivals import MeanPool

    return MeanPool(config)


def build_pma(config: PMAConfig, context: BuildContext) -> "Compressor":
    from .rivals import PMA

    return PMA(config, context.width)


def needs_of(config: CauseConfig) -> Needs:
    """The catalogue's categories, unless they are to be made."""
    if config.clusters:
        return Needs()
    return Needs(categories=frozenset({config.categories}) if config.categories else True)


def refuse_cause(config: CauseConfig, context: BuildContext) -> str | None:
    columns = tuple(context.catalogue.categories)
    if not config.clusters and not config.categories and len(columns) > 1:
        return (f"cause: the data set has several columns of categories. Expected `categories`, "
                f"one of {', '.join(columns)}.")
    if config.action and config.action not in context.action_names:
        return (f"cause: action {config.action} is not in the data. Expected one of "
                f"{', '.join(context.action_names) or 'none, the data has no actions'}.")
    return None


def refuse_pma(config: PMAConfig, context: BuildContext) -> str | None:
    if context.width and context.width % config.heads:
        return (f"pma: {config.heads} heads do not divide the backbone's width {context.width}. "
                "Expected a divisor of it.")
    return None


@hookimpl
def benchbase_compressors() -> list[CompressorSpec]:
    return [
        CompressorSpec(name="cause", config=CauseConfig, build=build_cause, source=SOURCE, needs=needs_of,
                       refuse=refuse_cause),
        CompressorSpec(name="recent_only", config=RecentOnlyConfig, build=build_recent,
                       source="what CAUSE leaves of the window, without its tokens"),
        CompressorSpec(name="mean_pool", config=MeanPoolConfig, build=build_mean,
                       source="one bucket for all categories"),
        CompressorSpec(name="pma", config=PMAConfig, build=build_pma, source=PMA_SOURCE, refuse=refuse_pma),
    ]
