"""Transformer backbones: SASRec and one with rotary positions (causal), and BERT4Rec (bidirectional, masked items)."""

from typing import TYPE_CHECKING

from benchbase import BackboneSpec, BuildContext, Source, hookimpl

from .config import BERT4RecConfig, CausalTransformerConfig, SASRecConfig

if TYPE_CHECKING:
    from benchbase.nn import Backbone

SITES = frozenset({"prefix", "mask", "bias", "boost", "value", "weights", "states", "readout"})


def build_sasrec(config: SASRecConfig, context: BuildContext) -> "Backbone":
    from .sasrec import SASRec  # torch arrives only when a run needs it

    return SASRec(config, context.window)


def build_bert4rec(config: BERT4RecConfig, context: BuildContext) -> "Backbone":
    from .bert4rec import BERT4Rec

    return BERT4Rec(config, context.window)


def build_transformer(config: CausalTransformerConfig, context: BuildContext) -> "Backbone":
    from .transformer import CausalTransformer

    return CausalTransformer(config, context.window)


@hookimpl
def benchbase_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="sasrec",
            config=SASRecConfig,
            build=build_sasrec,
            training="next",
            causal=True,
            sites=SITES,
            source=Source(
                paper="Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018",
                url="https://arxiv.org/abs/1808.09781",
                code="https://github.com/kang205/SASRec",
            ),
        ),
        BackboneSpec(
            name="bert4rec",
            config=BERT4RecConfig,
            build=build_bert4rec,
            training="masked",
            causal=False,
            sites=SITES,
            source=Source(
                paper="Sun et al., BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations "
                "from Transformer, CIKM 2019",
                url="https://arxiv.org/abs/1904.06690",
                code="https://github.com/FeiSun/BERT4Rec",
            ),
        ),
        BackboneSpec(
            name="transformer",
            config=CausalTransformerConfig,
            build=build_transformer,
            training="next",
            causal=True,
            sites=SITES,
            source=Source(
                paper="Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021; blocks as in "
                "Cheng, Beyond Interleaving, KDD 2026",
                url="https://arxiv.org/abs/2104.09864",
            ),
        ),
    ]
