"""A recurrent backbone: GRU4Rec, which reads events one after the other."""

from typing import TYPE_CHECKING

from benchbase import BackboneSpec, BuildContext, Source, hookimpl

from .config import GRU4RecConfig

if TYPE_CHECKING:
    from benchbase.nn import Backbone


def build_gru4rec(config: GRU4RecConfig, context: BuildContext) -> "Backbone":
    from .gru4rec import GRU4Rec  # torch arrives only when a run needs it

    return GRU4Rec(config)


def sites_of_gru4rec(config: GRU4RecConfig) -> frozenset[str]:
    """Sites that it honours; a layer's states are open to modifiers where they have the backbone's width."""
    plain = frozenset({"prefix", "readout"})
    return plain | {"states"} if config.units == config.width else plain


@hookimpl
def benchbase_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="gru4rec",
            config=GRU4RecConfig,
            build=build_gru4rec,
            training="next",
            causal=True,
            attention="none",
            sites=sites_of_gru4rec,
            source=Source(
                paper="Hidasi et al., Session-based Recommendations with Recurrent Neural Networks, ICLR 2016; Hidasi "
                "and Karatzoglou, Recurrent Neural Networks with Top-k Gains for Session-based Recommendations, "
                "CIKM 2018",
                url="https://arxiv.org/abs/1511.06939",
                code="https://github.com/hidasib/GRU4Rec",
            ),
        ),
    ]
