"""The context of one forward pass: what a backbone and the sites of its modifiers may see and call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..data.batches import Batch
from ..errors import PluginError
from .attention import Attended, Boost, Earlier, attend, attend_earlier
from .dropout import dropout
from .embedding import Phase
from .layouts import causal_base, not_itself
from .tokens import PrefixTokens, Tokens

if TYPE_CHECKING:
    from .parts import Modifier


class Context:
    """State of one forward pass that all parts share; parts hold a `PartContext` of it."""

    def __init__(self, batch: Batch, embed: Callable[..., Tensor], n_layers: int, phase: Phase,
                 normaliser: float | None = None, wanted: frozenset[str] = frozenset()):
        self.batch, self.embed, self.n_layers, self.phase = batch, embed, n_layers, phase
        self.normaliser, self.wanted = normaliser, wanted
        self.tokens: Tokens | None = None
        self.base_mask: Tensor | None = None
        self.full_mask: Tensor | None = None
        self.causal = False
        self.groups: Tensor | None = None
        self.sites: Sites = Sites(())
        self.traces: dict[str, Tensor] = {}
        self.masses: list[Tensor] = []
        self.routes: list[str] = []


class PartContext:
    """One part's view of a forward pass: the shared facts, its own generator, its own scratch.

    `tokens`, `batch`, `n_layers`, `phase` and `embed(ids)` are for reading; `scratch` is a dict that lives
    for this forward pass; `generator` is the only source of randomness a part may draw from.
    """

    def __init__(self, shared: Context, generator: torch.Generator, publishes: frozenset[str] = frozenset(),
                 name: str = ""):
        self._shared, self.generator, self._publishes, self.name = shared, generator, publishes, name
        self.scratch: dict[Any, Any] = {}

    @property
    def batch(self) -> Batch:
        return self._shared.batch

    @property
    def tokens(self) -> Tokens:
        assert self._shared.tokens is not None, "tokens are made after all prefixes"
        return self._shared.tokens

    @property
    def base_mask(self) -> Tensor:
        """The core's mask (1 or B, 1, 1 or S, S) bool, True = may attend: causal or full, valid keys."""
        shared = self._shared
        if shared.base_mask is not None:
            return shared.base_mask
        if shared.full_mask is None:  # attention runs as the plain triangle; made once for all who ask
            shared.full_mask = causal_base(self.tokens)
        return shared.full_mask

    @property
    def n_layers(self) -> int:
        return self._shared.n_layers

    @property
    def phase(self) -> Phase:
        return self._shared.phase

    @property
    def traces(self) -> Mapping[str, Tensor]:
        """What has been published so far in this forward pass."""
        return self._shared.traces

    def embed(self, items: Tensor) -> Tensor:
        """Vectors (..., D) of item ids, 0 for id 0."""
        return self._shared.embed(items)

    def wants(self, trace: str) -> bool:
        """Whether an objective needs this trace: what is costly to make is made for readers alone."""
        return trace in self._shared.wanted

    def publish(self, trace: str, tensor: Tensor) -> None:
        """Offer a tensor to the objectives under a name that the spec declares."""
        if trace not in self._publishes:
            raise PluginError(
                f"{self.name}: publishes trace {trace!r}, which its spec does not declare. "
                f"Expected one of {sorted(self._publishes)}. Add it to `publishes`."
            )
        self._shared.traces[trace] = tensor

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """Dropout in the train phase, drawn from this part's generator."""
        return x if self.phase == "score" or p == 0 else dropout(x, p, self.generator)

    def value(self, layer: int, h: Tensor) -> Tensor:
        """The hidden that values are projected from; h itself where no modifier has a say."""
        return self._shared.sites.value(layer, h)

    def states(self, layer: int, h: Tensor) -> Tensor:
        """The hidden after a layer, as modifiers leave it."""
        return self._shared.sites.states(layer, h)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None,
               scale: float | None = None, dropout: float = 0.0) -> Tensor:
        """Attention (B, H, S, Dv) with the base mask and every modifier's say in this layer."""
        shared, sites = self._shared, self._shared.sites
        extra, earlier = sites.mask(layer)
        drop = None
        if dropout > 0 and self.phase == "train":
            drop = lambda w: self.dropout(w, dropout)  # noqa: E731
        bias, boosts, weights = sites.bias(layer, bias), sites.boosts(layer), sites.weights(layer)
        attended = self._attended(q, k, v, extra, earlier, bias=bias, boosts=boosts, weights=weights,
                                  groups=shared.groups, scale=scale, normaliser=shared.normaliser, drop=drop)
        if attended.mass is not None:
            shared.masses.append(attended.mass)
        return attended.out

    def pool(self, q: Tensor, k: Tensor, v: Tensor, *, earlier: Earlier | None = None,
             scale: float | None = None) -> Tensor:
        """A part's own softmax attention (B, H, S, Dv) under the core's mask alone; `earlier`: not of tokens to
        themselves.
        """
        return self._attended(q, k, v, None, earlier, scale=scale).out

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, earlier: Earlier | None,
                  **how: Any) -> Attended:
        """Attention under the core's mask and others, on the shifted route where that alone says it all."""
        shared = self._shared
        plain = shared.causal and shared.base_mask is None
        others = [how.get(name) for name in ("bias", "boosts", "weights", "groups", "normaliser", "drop")]
        if earlier is not None and plain and mask is None and all(other is None or other == [] for other in others):
            attended = attend_earlier(q, k, v, scale=how["scale"])
        else:
            if earlier is not None:
                own = not_itself(self.tokens)
                mask = own if mask is None else mask & own
            if shared.base_mask is not None:
                mask = shared.base_mask if mask is None else shared.base_mask & mask
            attended = attend(q, k, v, mask=mask, causal=plain, **how)
        shared.routes.append(attended.route)
        if earlier is None or earlier.null is None:
            return attended
        return replace(attended, out=self._with_null(attended.out, earlier.null))

    def _blind(self, out: Tensor) -> Tensor:
        """Which tokens see nothing where none sees itself, (1 or B, 1, S, 1) bool."""
        mask = self._shared.base_mask
        if mask is None:
            return (torch.arange(out.shape[2], device=out.device) == 0)[None, None, :, None]
        return ~(mask & not_itself(self.tokens)).any(dim=-1, keepdim=True)

    def _with_null(self, out: Tensor, null: Tensor) -> Tensor:
        """The output with `null` (D) in the row of each token that sees nothing."""
        return torch.where(self._blind(out), null.view(1, out.shape[1], 1, out.shape[3]).to(out.dtype), out)


class Sites:
    """All modifiers of a model at their sites: masks AND, biases add, boosts multiply, the rest compose in order."""

    def __init__(self, modifiers: Sequence[tuple["Modifier", frozenset[str], PartContext]]):
        self._modifiers = tuple(modifiers)

    def _at(self, site: str) -> list[tuple[Callable[..., Any], PartContext]]:
        return [(getattr(part, site), ctx) for part, sites, ctx in self._modifiers if site in sites]

    def prefixes(self, reads_events: Mapping[str, bool]) -> list[tuple[PrefixTokens, bool]]:
        """What modifiers put before the events, in configuration order, and whether it reads events."""
        made = [(part.prefix(ctx), reads_events.get(ctx.name, False))  # type: ignore[operator]
                for part, sites, ctx in self._modifiers if "prefix" in sites]
        return [(prefix, reads) for prefix, reads in made if prefix is not None]

    def mask(self, layer: int) -> tuple[Tensor | None, Earlier | None]:
        """Every modifier's mask together, and apart from it the one that needs no tensor; its last null counts."""
        total, earlier = None, None
        for method, ctx in self._at("mask"):
            mask = method(ctx, layer)
            if isinstance(mask, Earlier):
                earlier = mask if earlier is None or mask.null is not None else earlier
            elif mask is not None:
                total = mask if total is None else total & mask
        return total, earlier

    def bias(self, layer: int, own: Tensor | None) -> Tensor | None:
        """The backbone's own bias and every modifier's, added."""
        total = own
        for method, ctx in self._at("bias"):
            if (bias := method(ctx, layer)) is not None:
                total = bias if total is None else total + bias
        return total

    def boosts(self, layer: int) -> list[Boost]:
        found = [b for method, ctx in self._at("boost") if (b := method(ctx, layer)) is not None]
        return [b if isinstance(b, Boost) else Boost(b) for b in found]

    def weights(self, layer: int) -> list[Callable[[Tensor], Tensor]]:
        """The changes of the final weights in this layer; none keeps the fused route."""
        return [
            _Weights(part, ctx, layer)
            for part, sites, ctx in self._modifiers
            if "weights" in sites and part.changes_weights(layer)
        ]

    def value(self, layer: int, h: Tensor) -> Tensor:
        for method, ctx in self._at("value"):
            h = _kept(method(ctx, layer, h), h)
        return h

    def states(self, layer: int, h: Tensor) -> Tensor:
        for method, ctx in self._at("states"):
            h = _kept(method(ctx, layer, h), h)
        return h

    def readout(self, h: Tensor) -> Tensor:
        for method, ctx in self._at("readout"):
            h = _kept(method(ctx, h), h)
        return h


def _kept(new: Tensor | None, old: Tensor) -> Tensor:
    return old if new is None else new


class _Weights:
    """One modifier's change of the final weights in one layer."""

    def __init__(self, part: "Modifier", ctx: PartContext, layer: int):
        self.part, self.ctx, self.layer = part, ctx, layer

    def __call__(self, w: Tensor) -> Tensor:
        return _kept(self.part.weights(self.ctx, self.layer, w), w)  # type: ignore[operator]
