"""Losses for next-item recommenders, the exact softmax and those on sampled negatives, and for predicted actions."""

from typing import TYPE_CHECKING

from benchbase import BuildContext, Needs, ObjectiveSpec, Source, hookimpl
from benchbase.errors import nearest

from .config import (
    ActionBCEConfig,
    BCEConfig,
    BPRConfig,
    GBCEConfig,
    InBatchSoftmaxConfig,
    InfoNCEConfig,
    SampledConfig,
    SampledSoftmaxConfig,
    SoftmaxConfig,
)

if TYPE_CHECKING:
    from benchbase.nn import Objective

NEXT_ITEM = frozenset({"next_item"})


def build_softmax(config: SoftmaxConfig, context: BuildContext) -> "Objective":
    from .softmax import Softmax  # torch arrives only when a run needs it

    return Softmax(config)


def build_bce(config: BCEConfig, context: BuildContext) -> "Objective":
    from .bce import BinaryCrossEntropy

    return BinaryCrossEntropy(config)


def build_gbce(config: GBCEConfig, context: BuildContext) -> "Objective":
    from .bce import GeneralisedBCE

    return GeneralisedBCE(config, context)


def build_sampled_softmax(config: SampledSoftmaxConfig | InBatchSoftmaxConfig, context: BuildContext) -> "Objective":
    from .sampled_softmax import SampledSoftmax

    return SampledSoftmax(config)


def build_infonce(config: InfoNCEConfig, context: BuildContext) -> "Objective":
    from .sampled_softmax import InfoNCE

    return InfoNCE(config)


def build_bpr(config: BPRConfig, context: BuildContext) -> "Objective":
    from .bpr import BayesianPersonalisedRanking

    return BayesianPersonalisedRanking(config)


def build_action_bce(config: ActionBCEConfig, context: BuildContext) -> "Objective":
    from .actions import ActionBCE

    return ActionBCE(config, context)


def refuse_weights(config: ActionBCEConfig, context: BuildContext) -> str | None:
    """Why these weights do not fit the actions that are predicted."""
    if unknown := sorted(set(config.weights) - set(context.predicted)):
        return (f"action_bce.weights: {unknown[0]} is no action that is predicted. "
                f"{nearest(unknown[0], context.predicted, 'Actions')}")
    if context.predicted and not any(config.weights.get(name, 1.0) for name in context.predicted):
        return "action_bce.weights: all are 0. Expected at least one action to learn from."
    return None


def needs_negatives(config: SampledConfig | InBatchSoftmaxConfig) -> Needs:
    """The negatives that these parameters ask the core for."""
    return Needs(tasks=NEXT_ITEM, negatives=config.request())


ACTION_BCE = ObjectiveSpec(
    name="action_bce",
    config=ActionBCEConfig,
    build=build_action_bce,
    needs=Needs(tasks=frozenset({"action"})),
    refuse=refuse_weights,
    source=Source(
        paper="Cheng, Beyond Interleaving: Causal Attention Reformulations for Generative Recommender Systems, "
        "KDD 2026",
        url="https://arxiv.org/abs/2603.10369",
    ),
)


@hookimpl
def benchbase_objectives() -> list[ObjectiveSpec]:
    return [*_next_item_losses(), ACTION_BCE]


def _next_item_losses() -> list[ObjectiveSpec]:
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
            needs=needs_negatives,
            source=Source(
                paper="Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, section III-E",
                url="https://arxiv.org/abs/1808.09781",
                code="https://github.com/kang205/SASRec",
            ),
        ),
        ObjectiveSpec(
            name="gbce",
            config=GBCEConfig,
            build=build_gbce,
            needs=needs_negatives,
            source=Source(
                paper="Petrov and Macdonald, gSASRec: Reducing Overconfidence in Sequential Recommendation Trained "
                "with Negative Sampling, RecSys 2023",
                url="https://arxiv.org/abs/2308.07192",
                code="https://github.com/asash/gSASRec-pytorch",
            ),
        ),
        ObjectiveSpec(
            name="sampled_softmax",
            config=SampledSoftmaxConfig,
            build=build_sampled_softmax,
            needs=needs_negatives,
            source=Source(
                paper="Bengio and Senecal, Adaptive Importance Sampling to Accelerate Training of a Neural "
                "Probabilistic Language Model, IEEE Transactions on Neural Networks 19(4), 2008",
                url="https://doi.org/10.1109/TNN.2007.912312",
            ),
        ),
        ObjectiveSpec(
            name="in_batch_softmax",
            config=InBatchSoftmaxConfig,
            build=build_sampled_softmax,
            needs=needs_negatives,
            source=Source(
                paper="Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, "
                "RecSys 2019",
                url="https://doi.org/10.1145/3298689.3346996",
            ),
        ),
        ObjectiveSpec(
            name="infonce",
            config=InfoNCEConfig,
            build=build_infonce,
            needs=needs_negatives,
            source=Source(
                paper="van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding, 2018",
                url="https://arxiv.org/abs/1807.03748",
            ),
        ),
        ObjectiveSpec(
            name="bpr",
            config=BPRConfig,
            build=build_bpr,
            needs=needs_negatives,
            source=Source(
                paper="Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009",
                url="https://arxiv.org/abs/1205.2618",
            ),
        ),
    ]
