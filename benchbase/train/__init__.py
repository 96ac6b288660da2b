"""Train: the one loop; it alone does zero_grad, backward (or asks the combiner), clipping, step and logging."""

from .loop import Fit, Progress, fit
from .losses import LossMaker
from .optimizer import make_optimizer, tag_parameters
from .stream import Streamed, predict_then_learn

__all__ = ["Fit", "LossMaker", "Progress", "Streamed", "fit", "make_optimizer", "predict_then_learn", "tag_parameters"]
