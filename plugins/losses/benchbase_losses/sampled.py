"""What the losses on sampled negatives share: the scores of targets and of negatives."""

from torch import Tensor

from benchbase import Negatives
from benchbase.data.batches import Targets
from benchbase.nn import Output


def pair_scores(output: Output, targets: Targets, asked: Negatives) -> tuple[Tensor, Tensor]:
    """Scores of the targets (P) and of their negatives (P, k).

    A negative that is the position's own target scores -inf, so that it counts nothing, unless it was asked to stay.
    """
    negatives = per_position(targets.negatives, targets, asked)  # (P, k), or (k) for all
    positive = output.scorer.score_items(output.states, targets.item[:, None]).squeeze(1)
    scores = output.scorer.score_items(output.states, negatives)
    if not asked.keep_positive:  # per position one is left only where the law has nothing else to give
        scores = scores.masked_fill(negatives == targets.item[:, None], float("-inf"))
    return positive, scores


def per_position(drawn: Tensor | None, targets: Targets, asked: Negatives) -> Tensor:
    """What goes with the negatives, (P, k), or (k) where all share one draw."""
    assert drawn is not None, "the core draws what `needs` asks for"
    return drawn[targets.row] if asked.scope == "sequence" else drawn
