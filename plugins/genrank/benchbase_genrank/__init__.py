"""GenRank: generative ranking with one token for item and action, and attention biased without parameters."""

from typing import TYPE_CHECKING

from benchbase import BackboneSpec, BuildContext, Source, hookimpl

from .config import GenRankConfig

if TYPE_CHECKING:
    from benchbase.nn import Backbone

SITES = frozenset({"prefix", "mask", "bias", "boost", "value", "weights", "states", "readout"})
LAYOUTS = frozenset({"items", "stacked"})
"""One token for an event, which is the point of it: `interleaved` has two."""


def build(config: GenRankConfig, context: BuildContext) -> "Backbone":
    from .genrank import GenRank  # torch arrives only when a run needs it

    return GenRank(config, context.window)


def refuse_timeless(config: GenRankConfig, context: BuildContext) -> str | None:
    if config.time == "none" or context.has_time:
        return None
    return "genrank: the data set has no timestamps. Expected a data set that has, or genrank[time=none]."


@hookimpl
def benchbase_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="genrank",
            config=GenRankConfig,
            build=build,
            refuse=refuse_timeless,
            training="next",
            causal=True,
            sites=SITES,
            layouts=LAYOUTS,
            source=Source(
                paper="Huang et al., Towards Large-scale Generative Ranking, 2025",
                url="https://arxiv.org/abs/2505.04180",
            ),
        )
    ]
