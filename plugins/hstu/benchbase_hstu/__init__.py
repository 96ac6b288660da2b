"""HSTU: a sequential transducer of gated pointwise attention with relative positions and times."""

from typing import TYPE_CHECKING

from benchbase import BackboneSpec, BuildContext, Needs, Source, hookimpl

from .config import HSTUConfig

if TYPE_CHECKING:
    from benchbase.nn import Backbone

SITES = frozenset({"prefix", "mask", "bias", "boost", "value", "weights", "states", "readout"})


def build(config: HSTUConfig, context: BuildContext) -> "Backbone":
    from .hstu import HSTU  # torch arrives only when a run needs it

    return HSTU(config, context.window, context.max_tokens)


def needs(config: HSTUConfig) -> Needs:
    return Needs(time=config.time_ref != "none")


@hookimpl
def benchbase_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="hstu",
            config=HSTUConfig,
            build=build,
            needs=needs,
            training="next",
            causal=True,
            attention="pointwise",
            sites=SITES,
            source=Source(
                paper="Zhai et al., Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for "
                "Generative Recommendations, ICML 2024",
                url="https://arxiv.org/abs/2402.17152",
                code="https://github.com/meta-recsys/generative-recommenders",
            ),
        )
    ]
