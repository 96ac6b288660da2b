"""Losses for next-item recommenders: the exact softmax over all items, and binary cross-entropy."""

from typing import TYPE_CHECKING

from benchbase import BuildContext, Needs, Negatives, ObjectiveSpec, Source, hookimpl

from .config import BCEConfig, SoftmaxConfig

if TYPE_CHECKING:
    from benchbase.nn import Objective

NEXT_ITEM = frozenset({"next_item"})


def build_softmax(config: SoftmaxConfig, context: BuildContext) -> "Objective":
    from .softmax import Softmax  # torch arrives only when a run needs it

    return Softmax(config)


def build_bce(config: BCEConfig, context: BuildContext) -> "Objective":
    from .bce import BinaryCrossEntropy

    return BinaryCrossEntropy(config)


def bce_needs(config: BCEConfig) -> Needs:
    """The negatives that these parameters ask the core for."""
    drawn = Negatives(count=config.negatives, law=config.law, scope=config.scope)
    return Needs(tasks=NEXT_ITEM, negatives=drawn)


@hookimpl
def benchbase_objectives() -> list[ObjectiveSpec]:
    return [
        ObjectiveSpec(
            name="softmax",
            config=SoftmaxConfig,
            build=build_softmax,
            needs=Needs(tasks=NEXT_ITEM),
            source=Source(
                paper="Klenitskiy and Vasilev, Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?, "
                "RecSys 2023",
                url="https://arxiv.org/abs/2309.07602",
                code="https://github.com/antklen/sasrec-bert4rec-recsys23",
            ),
        ),
        ObjectiveSpec(
            name="bce",
            config=BCEConfig,
            build=build_bce,
            needs=bce_needs,
            source=Source(
                paper="Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, section III-E",
                url="https://arxiv.org/abs/1808.09781",
                code="https://github.com/kang205/SASRec",
            ),
        ),
    ]
