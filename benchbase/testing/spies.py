"""Spies: one modifier per site with an effect that cannot be missed, and prefix tokens of which some rows lack some."""

from typing import Any

import torch
from torch import Tensor

from ..nn import Modifier, PrefixTokens
from ..specs import BuildContext, Config, ModifierSpec

SOURCE = "benchbase.testing"


class SpyConfig(Config):
    """Where a spy acts."""

    layer: int = 0


class _Spy(Modifier):
    """Changes one site of one layer so that the last state must move."""

    def __init__(self, config: SpyConfig, context: BuildContext):
        super().__init__()
        self.layer, self.width = config.layer, context.width

    def noise(self, dtype: torch.dtype, *shape: int) -> Tensor:
        draw = torch.Generator().manual_seed(7)
        return torch.randn(*shape, generator=draw, dtype=dtype)

    def square(self, ctx: Any) -> Tensor:
        size = ctx.tokens.x.shape[1]
        return self.noise(ctx.tokens.x.dtype, 1, 1, size, size)


class _Prefix(_Spy):
    def prefix(self, ctx: Any) -> PrefixTokens:
        return PrefixTokens(self.noise(ctx.batch.actions.dtype, 1, 2, self.width))


class _Ragged(_Spy):
    """Prefix tokens as a compressor makes them: a user has one to three, the places of the others hold garbage."""

    def prefix(self, ctx: Any) -> PrefixTokens:
        users = ctx.batch.users[:, None]
        return PrefixTokens(self.noise(ctx.batch.actions.dtype, 1, 3, self.width),
                            valid=torch.arange(3) <= users % 3)


class _Mask(_Spy):
    def mask(self, ctx: Any, layer: int) -> Tensor | None:
        diagonal = torch.eye(ctx.tokens.x.shape[1], dtype=torch.bool)[None, None]
        return diagonal if layer == self.layer else None


class _Bias(_Spy):
    def bias(self, ctx: Any, layer: int) -> Tensor | None:
        return 3 * self.square(ctx) if layer == self.layer else None


class _Boost(_Spy):
    def boost(self, ctx: Any, layer: int) -> Tensor | None:
        return self.square(ctx).exp() if layer == self.layer else None


class _Value(_Spy):
    def value(self, ctx: Any, layer: int, h: Tensor) -> Tensor:
        return h + self.noise(h.dtype, *h.shape) if layer == self.layer else h


class _Weights(_Spy):
    def changes_weights(self, layer: int) -> bool:
        return layer == self.layer

    def weights(self, ctx: Any, layer: int, w: Tensor) -> Tensor:
        return w * self.square(ctx).exp()


class _States(_Spy):
    def states(self, ctx: Any, layer: int, h: Tensor) -> Tensor:
        return h + self.noise(h.dtype, *h.shape) if layer == self.layer else h


class _Readout(_Spy):
    def readout(self, ctx: Any, h: Tensor) -> Tensor:
        return h + self.noise(h.dtype, *h.shape)


SPIES = {
    site: ModifierSpec(name=f"spy_{site}", config=SpyConfig, build=build, source=SOURCE,
                       sites=frozenset({site}))
    for site, build in {
        "prefix": _Prefix, "mask": _Mask, "bias": _Bias, "boost": _Boost, "value": _Value, "weights": _Weights,
        "states": _States, "readout": _Readout,
    }.items()
}
"""One modifier per site, each with an effect that cannot be missed."""

ragged_prefix = ModifierSpec(
    name="spy_ragged", config=SpyConfig, build=_Ragged, source=SOURCE, sites=frozenset({"prefix"})
)
"""Prefix tokens that are not all valid in every row, as a compressor's are."""
