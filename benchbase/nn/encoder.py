"""Encoders: vectors of items out of what is known of them, added to those of the table."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ..errors import PluginError
from .dropout import dropout
from .embedding import ItemEmbedding, Items, Phase
from .modules import Parts

CHUNK = 16_384
"""Items whose vectors are made at a time, at most, where nothing is learned from them."""


class EncoderContext:
    """What an encoder may know of a forward pass: its phase, and its own generator, the only source of randomness."""

    def __init__(self, phase: Phase, generator: torch.Generator):
        self.phase, self.generator = phase, generator

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """Dropout in the train phase, drawn from the encoder's generator."""
        return x if self.phase == "score" or p == 0 else dropout(x, p, self.generator)


class Encoder(nn.Module):
    """Features of items in, vectors out, as wide as the backbone; features are kept in buffers.

    `forward(items, ctx)` returns vectors (k, D) of item ids (k), which are from 1 on. The vector of an item depends
    neither on which others are asked for nor on any event, so that all are made once for many sequences.
    """

    def forward(self, items: Tensor, ctx: EncoderContext) -> Tensor:
        raise NotImplementedError


class EncodedItems(ItemEmbedding):
    """A table of vectors, to which each encoder adds its own.

    `at_once`: training needs the vectors of all items in every step, so they are made together; else of those alone
    that are asked for.
    """

    def __init__(self, n_items: int, width: int, hidden: bool, encoders: Mapping[str, Encoder],
                 generators: Mapping[str, torch.Generator], at_once: bool):
        super().__init__(n_items, width, hidden)
        self.encoders, self.generators, self.at_once = Parts(encoders), dict(generators), at_once

    def items(self) -> Tensor:
        return self.bound("score").items()

    def rows(self, items: Tensor) -> Tensor:
        return self.bound("score").rows(items)

    def forward(self, items: Tensor, hide: Tensor | None = None) -> Tensor:
        return self.bound("score")(items, hide)

    def bound(self, phase: Phase) -> Items:
        return BoundItems(self, phase, self.at_once or phase == "score")

    def made(self, items: Tensor | None, phase: Phase) -> Tensor:
        """Vectors (k, D) of item ids (k), or of all items; those of many in chunks, but where gradients hold them all.

        Errors: `PluginError` where an encoder gives another shape.
        """
        if items is None:
            items = torch.arange(1, self.n_items + 1, device=self.table.device)
            if torch.is_grad_enabled() or len(items) <= CHUNK:
                return self._added(self.table, items, phase)
        if torch.is_grad_enabled() or len(items) <= CHUNK:
            return self._added(self.table.index_select(0, items - 1), items, phase)
        return torch.cat([self.made(items[start : start + CHUNK], phase) for start in range(0, len(items), CHUNK)])

    def _added(self, table: Tensor, items: Tensor, phase: Phase) -> Tensor:
        """Rows of the table (k, D) and what encoders add to them, in its precision whatever is cast around it."""
        with torch.autocast(table.device.type, enabled=False):
            for name, encoder in self.encoders.items():
                vectors = encoder(items, EncoderContext(phase, self.generators[name]))
                if vectors.shape != table.shape:
                    raise PluginError(f"encoder {name}: vectors have shape {tuple(vectors.shape)}. "
                                      f"Expected {tuple(table.shape)}, one for each item that it is asked for. "
                                      "Mend its forward.")
                table = table + vectors
        return table


class BoundItems:
    """Vectors of items under parameters as they are: made when they are asked for, those of all items once."""

    def __init__(self, embedding: EncodedItems, phase: Phase, at_once: bool):
        self.embedding, self.phase, self.at_once = embedding, phase, at_once
        self._all: Tensor | None = None

    def items(self) -> Tensor:
        """The vectors of all items (n_items, D)."""
        if self._all is None:
            self._all = self.embedding.made(None, self.phase)
        return self._all

    def rows(self, items: Tensor) -> Tensor:
        """Vectors (k, D) of item ids (k), from 1 on."""
        if self.at_once or self._all is not None:
            return self.items().index_select(0, items - 1)
        each, place = torch.unique(items, return_inverse=True)
        return self.embedding.made(each, self.phase).index_select(0, place)

    def __call__(self, items: Tensor, hide: Tensor | None = None) -> Tensor:
        """Vectors (..., D) of item ids; 0 for id 0, the hidden vector where `hide`."""
        x = self.rows(items.flatten().clamp_min(1)).view(*items.shape, self.embedding.width)
        return self.embedding.finished(x, items, hide)

    def severed(self) -> tuple["BoundItems", Callable[[], None]]:
        """The vectors of all items as a leaf, which several backward passes may reach, and what then takes the gradient
        that it has gathered on to the encoders, once.
        """
        whole = self.items()
        leaf = BoundItems(self.embedding, self.phase, at_once=True)
        leaf._all = held = whole.detach().requires_grad_()

        def carry_on() -> None:
            if held.grad is not None:
                torch.autograd.backward(whole, held.grad)

        return leaf, carry_on


def for_several_passes(items: Items) -> tuple[Items | None, Callable[[], None]]:
    """Vectors of items for the groups of a step, each of which has a backward pass of its own, and what must be called
    after the last; (None, nothing) where each makes those that it reads.
    """
    if isinstance(items, BoundItems) and items.at_once:
        return items.severed()
    return None, lambda: None
