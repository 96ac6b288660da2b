"""Base classes of the parts that plugins build: what each may do, and when the core calls it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..data.batches import Batch, DevicePlan, Plan, Targets, TrainBatch
from ..data.sequences import Events
from .context import PartContext
from .scorer import BoundScorer, ItemBias
from .tokens import PrefixTokens, Tokens


class Backbone(nn.Module):
    """Tokens in, states out.

    `forward(ctx)` returns hidden states (B, S, width), one per token of `ctx.tokens`. It calls
    `ctx.attend(layer, q, k, v)`, `ctx.value(layer, h)` and `ctx.states(layer, h)` at the sites that its
    spec lists, and adds its own positions from `ctx.tokens.position`.
    """

    width: int
    n_layers: int
    n_heads: int

    def forward(self, ctx: PartContext) -> Tensor:
        raise NotImplementedError


class Modifier(nn.Module):
    """A change of attention at sites; define one method per site that the spec lists, and no other.

    Returning None (`value`: h itself) means absent in this layer: the route does not change.

    - `prefix(ctx) -> PrefixTokens | None`: tokens put before the events; `ctx.tokens` is not there yet.
    - `mask(ctx, layer) -> bool (1 | B, 1 | H, S, S)`: True = may attend; the smallest shape that says it; or `Earlier`,
      which needs none and keeps the fastest kernel.
    - `bias(ctx, layer) -> Tensor`: added to the scaled scores.
    - `boost(ctx, layer) -> Tensor | Boost`: a factor > 0 on the weights; a bare tensor is renormalised.
    - `value(ctx, layer, h) -> (B, S, D)`: the hidden that values are projected from, before its norm.
    - `weights(ctx, layer, w) -> Tensor`: final weights (B, H, S, S), before dropout; the explicit route,
      which `changes_weights(layer)` can spare the layers that need none.
    - `states(ctx, layer, h) -> (B, S, D)`: the hidden after a layer.
    - `readout(ctx, h) -> (B, S, any)`: the hidden after the last layer; `readout_width` says a new width.
    """

    readout_width: int | None = None

    def changes_weights(self, layer: int) -> bool:
        """Whether `weights` has a say in this layer, asked before the route is chosen."""
        return True


@dataclass(frozen=True)
class Output:
    """What an objective sees of a forward pass: states (P, D) gathered for the targets, and the rest.

    States that predict actions are as wide as the readout leaves them (`BuildContext.state_width`); `logits` (P, K) are
    then the log-odds of `BuildContext.predicted`, and None for items.
    `traces` by name; `masses` one (B, H, S, G) per layer where groups were asked for; `embed(ids)` gives
    item vectors; `generator` is the objective's own, the only source of randomness it may draw from.
    """

    states: Tensor
    scorer: BoundScorer
    tokens: Tokens
    traces: Mapping[str, Tensor] = field(default_factory=dict)
    masses: Sequence[Tensor] = ()
    embed: Any = None
    logits: Tensor | None = None
    generator: torch.Generator | None = None


@dataclass(frozen=True)
class TaggedParameter:
    """A parameter of the model and the part it belongs to."""

    name: str
    tag: Literal["embedding", "encoder", "head", "objective"]
    parameter: nn.Parameter


class Objective(nn.Module):
    """Loss terms, means under `targets.weights`; everything but `losses` may be left out."""

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """Scalars by term name; {} for an objective that only weighs examples or changes scores."""
        return {}

    def logs(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """Scalars to record beside the losses, called after them without gradients; means under `targets.weights`."""
        return {}

    def example_weights(self, targets: Targets, batch: Batch) -> Tensor | None:
        """Factors (P) that the core multiplies into the weights of all losses; None for no change."""
        return None

    def score_term(self, batch: Batch, items: Tensor, phase: str) -> Tensor | ItemBias | None:
        """A term added to the scores of `items` (M): a matrix (B, M), an `ItemBias` over all items, or None."""
        return None

    def action_logits(self, logits: Tensor, targets: Targets, batch: Batch, phase: str) -> Tensor:
        """The log-odds (P, K) of the actions of `targets` that stand for those of the head, which it changes or not;
        of the targets it may know the items, not what came of them.
        """
        return logits

    def groups(self, tokens: Tokens) -> Tensor | None:
        """Groups of keys (B, S, G) whose attention mass is wanted; None for none."""
        return None

    def bind(self, parameters: Sequence[TaggedParameter]) -> None:
        """Called once, before training, with every parameter of the model."""

    def epoch_ended(self, means: Mapping[str, float]) -> None:
        """Called after each epoch with the means over examples of this objective's terms and logs, by name."""

    def period_ended(self, batches: Iterator[TrainBatch], loss: Callable[[TrainBatch], Tensor]) -> None:
        """Called in a stream after training and after each period was learned from, with the model in eval mode.

        `batches`, without end: single targets of what was just learned from, drawn evenly from its windows, one row
        each. `loss(batch)`: the loss that training descends, of that target alone, with its gradient: a mean over one
        example, so that example weights have no say. Parameters must stay as they are.
        """


@dataclass(frozen=True)
class CombinerParameters:
    """What a combiner works on: every trained parameter, and those that the balanced tasks share."""

    all: Sequence[nn.Parameter]
    shared: Sequence[nn.Parameter]


class Combiner(nn.Module):
    """Balances two losses into one gradient; what changes in training lives in its state_dict."""

    def combine(self, losses: Mapping[str, Tensor], parameters: CombinerParameters) -> Mapping[str, float]:
        """Fill `.grad` (None on entry) from one `autograd.grad` per loss; return the weights used.

        `losses` are the two named in `balance`, in order, every other weighted term already in the first.
        """
        raise NotImplementedError


class Compressor(nn.Module):
    """Long history in, few prefix tokens out; at most `max_tokens` of them."""

    max_tokens: int

    def plan(self, history: Events, window: Events, budget: int) -> Plan:
        """Decide on the data side, purely: a row has the same plan whatever stands beside it, so that it is kept.

        `history` are the events before the `window`, which is what the model will read; `budget` is the window in
        events.
        """
        raise NotImplementedError

    def encode(self, plan: DevicePlan, embed: Any) -> PrefixTokens:
        """The tokens (B, K, D) of a plan, differentiable, valid where `plan.used`, and `plan.latest` as their times.

        `embed(ids)` gives item vectors, 0 for id 0.
        """
        raise NotImplementedError
