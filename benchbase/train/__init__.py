"""Train: the one loop; it alone does zero_grad, backward (or asks the combiner), clipping, step and logging."""

from .loop import Fit, Progress, fit
from .losses import LossMaker
from .optimizer import make_optimizer, tag_parameters

__all__ = ["Fit", "LossMaker", "Progress", "fit", "make_optimizer", "tag_parameters"]
