"""Combiners: two losses, one gradient, from one backward pass each and no third."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchbase import BuildContext
from benchbase.errors import BenchbaseError, RunError
from benchbase.nn import Combiner, CombinerParameters

from .config import FixedConfig, JacobianConfig, LiteralConfig, MGDAConfig, ParetoConfig
from .solver import frank_wolfe, literal_weights, nearest_on_segment, preference_weight

NOTHING = 1e-12
"""A gradient this short has no direction: a batch of one domain, for one."""

Gradients = Sequence[Tensor | None]


@dataclass(frozen=True)
class Look:
    """One look at both losses: their values, and the inner products of their gradients on the shared parameters."""

    main: float
    other: float
    main_sq: float
    product: float
    other_sq: float

    @property
    def cosine(self) -> float:
        return self.product / math.sqrt(self.main_sq * self.other_sq)

    @property
    def gram(self) -> np.ndarray:
        return np.array([[self.main_sq, self.product], [self.product, self.other_sq]])


class FixedAlpha(Combiner):
    """The sum with one weight, in one backward pass: what a weight in the suite does, among the other combiners."""

    def __init__(self, config: FixedConfig, context: BuildContext):
        super().__init__()
        self.alpha = config.alpha

    def combine(self, losses: Mapping[str, Tensor], parameters: CombinerParameters) -> dict[str, float]:
        """The gradient of main + alpha * other."""
        (first, main), (second, other) = losses.items()
        _fill(parameters.all, _gradients(_sum(main, other, 1.0, self.alpha), parameters.all))
        return {first: 1.0, second: self.alpha}


class GradientCombiner(Combiner):
    """Looks at both gradients every few steps, and keeps the weights in between, where one backward pass is enough.

    What changes in training are the number of steps and the two weights.
    """

    steps: Tensor
    weights: Tensor

    def __init__(self, every_n_steps: int = 1):
        super().__init__()
        self.every_n_steps = every_n_steps
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("weights", torch.tensor([1.0, 0.0], dtype=torch.float64))

    def weigh(self, look: Look) -> tuple[float, float]:
        """The weights of main and other."""
        raise NotImplementedError

    def combine(self, losses: Mapping[str, Tensor], parameters: CombinerParameters) -> dict[str, float]:
        """Fill the gradients. Errors: `RunError` where a gradient is not finite."""
        (first, main), (second, other) = losses.items()
        looks = int(self.steps) % self.every_n_steps == 0
        self.steps += 1
        if not looks:
            weights = self.weights.tolist()
            _fill(parameters.all, _gradients(_sum(main, other, *weights), parameters.all))
            return {first: weights[0], second: weights[1]}
        ours = _gradients(main, parameters.all, keep=True)
        theirs = _gradients(other, parameters.all)
        look = _look(main, other, ours, theirs, parameters)
        weights = [1.0, 0.0] if look.other_sq**0.5 < NOTHING else list(self.weigh(look))
        self.weights.copy_(torch.tensor(weights, dtype=torch.float64))
        _fill(parameters.all, [_weighed(one, two, *weights) for one, two in zip(ours, theirs, strict=True)])
        known = look.main_sq > 0 and look.other_sq > 0
        return {first: weights[0], second: weights[1], **({"cosine": look.cosine} if known else {})}


class Pareto(GradientCombiner):
    """The released algorithm without its stale gradients: alpha follows from the cosine of the two gradients.

    Source: AutoCDSR, as released.
    """

    cosine: Tensor

    def __init__(self, config: ParetoConfig, context: BuildContext):
        super().__init__(config.every_n_steps)
        self.config = config
        self.register_buffer("cosine", torch.full((), torch.nan, dtype=torch.float64))

    def weigh(self, look: Look) -> tuple[float, float]:
        if look.main_sq**0.5 < NOTHING:
            return 1.0, 0.0
        cosine, kept = look.cosine, float(self.cosine)
        if self.config.ema and kept == kept:
            cosine = self.config.ema * kept + (1 - self.config.ema) * cosine
        self.cosine.fill_(cosine)
        alpha = preference_weight(cosine, look.main, look.other, self.config.iterations)
        if self.config.nonnegative:
            alpha = max(alpha, 0.0)
        length = (look.main_sq / look.other_sq) ** 0.5 if self.config.scale == "matched" else 1.0
        return 1.0, alpha * length


class MGDA(GradientCombiner):
    """Multiple gradient descent: the shortest combination of both gradients.

    Source: Désidéri 2012; Sener and Koltun 2018.
    """

    def __init__(self, config: MGDAConfig, context: BuildContext):
        super().__init__(config.every_n_steps)
        self.config = config

    def weigh(self, look: Look) -> tuple[float, float]:
        by = {"none": (1.0, 1.0), "l2": (look.main_sq**0.5, look.other_sq**0.5),
              "loss": (look.main, look.other)}[self.config.normalise]
        if min(abs(each) for each in by) < NOTHING:
            return 1.0, 0.0
        gram = look.gram / np.outer(by, by)
        if self.config.iterations is None:
            share = nearest_on_segment(gram[0, 0], gram[0, 1], gram[1, 1])
        else:
            share = float(frank_wolfe(gram, self.config.iterations)[0])
        return share / by[0], (1 - share) / by[1]


class JacobianDescent(GradientCombiner):
    """An aggregator of TorchJD, which sees the inner products of the two gradients.

    Errors: `BenchbaseError` where the library is not installed.
    Source: Quinton and Rey 2024, Jacobian Descent for Multi-Objective Optimization (UPGrad); the others by their names.
    """

    def __init__(self, config: JacobianConfig, context: BuildContext):
        super().__init__(config.every_n_steps)
        self.weighting = _weighting(config.aggregator)

    def weigh(self, look: Look) -> tuple[float, float]:
        main, other = self.weighting(torch.from_numpy(look.gram)).tolist()
        return main, other


AGGREGATORS = {"upgrad": "UPGradWeighting", "dual_proj": "DualProjWeighting", "pcgrad": "PCGradWeighting",
               "imtl_g": "IMTLGWeighting", "aligned_mtl": "AlignedMTLWeighting"}


def _weighting(name: str) -> Any:
    try:
        from torchjd import aggregation

        return getattr(aggregation, AGGREGATORS[name])()
    except ImportError as error:
        raise BenchbaseError(f"jacobian_descent: aggregator {name} needs a library that is not installed ({error}). "
                             "Expected TorchJD. Install benchbase-autocdsr[jd].") from None


class ParetoLiteral(GradientCombiner):
    """The equation as the paper writes it, which is degenerate; here to be looked at, not to be trained with.

    Source: AutoCDSR, eq. (11) and (12).
    """

    def __init__(self, config: LiteralConfig, context: BuildContext):
        super().__init__()
        self.config = config

    def weigh(self, look: Look) -> tuple[float, float]:
        main, other = literal_weights(look.gram, look.main, look.other, self.config.preferences, self.config.strict)
        if abs(main) + abs(other) < NOTHING:
            raise RunError(
                "pareto_literal: the update is zero: as written, the target preference is among those that are not "
                "met, and the least combination takes it alone. Expected a direction. Use pareto, or strict: true."
            )
        return float(main), float(other)


def _sum(main: Tensor, other: Tensor, of_main: float, of_other: float) -> Tensor:
    """The weighted sum; without what weighs nothing, so that it is main itself, bit for bit."""
    whole = main if of_main == 1 else of_main * main
    return whole if of_other == 0 else whole + of_other * other


def _gradients(loss: Tensor, parameters: Sequence[torch.nn.Parameter], keep: bool = False) -> Gradients:
    if not loss.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)


def _weighed(main: Tensor | None, other: Tensor | None, of_main: float, of_other: float) -> Tensor | None:
    """The weighted sum of two gradients, either of which may be absent."""
    whole = main if main is None or of_main == 1 else of_main * main
    if other is None or of_other == 0:
        return whole
    return of_other * other if whole is None else whole + of_other * other


def _fill(parameters: Sequence[torch.nn.Parameter], gradients: Gradients) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def _look(main: Tensor, other: Tensor, ours: Gradients, theirs: Gradients, parameters: CombinerParameters) -> Look:
    """Inner products over the shared parameters that the second loss reaches. Errors: `RunError`."""
    shared = {id(parameter) for parameter in parameters.shared}
    pairs = [(one, two) for parameter, one, two in zip(parameters.all, ours, theirs, strict=True)
             if two is not None and id(parameter) in shared]
    zero = main.detach().new_zeros(()).double()
    sums = torch.stack([
        sum((one.square().sum().double() for one, _ in pairs if one is not None), zero),
        sum((torch.sum(one * two).double() for one, two in pairs if one is not None), zero),
        sum((two.square().sum().double() for _, two in pairs), zero),
        main.detach().double(), other.detach().double(),
    ]).tolist()
    if not np.isfinite(sums).all():
        raise RunError("autocdsr: a gradient or a loss is not finite. Expected finite numbers. Lower train.lr, or set "
                       "train.clip.", "diverged")
    return Look(sums[3], sums[4], sums[0], sums[1], sums[2])


