"""Encoders: vectors of items out of what is known of them, added to those of the table."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import PluginError
from .dropout import dropout
from .embedding import ItemEmbedding, Items, Phase
from .modules import Parts


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
        """Vectors (k, D) of item ids (k), or of all items, in the precision of the table whatever is cast around it.

        Errors: `PluginError` where an encoder gives another shape.
        """
        table = self.table if items is None else self.table.index_select(0, items - 1)
        if items is None:
            items = torch.arange(1, self.n_items + 1, device=table.device)
        with torch.autocast(table.device.type, enabled=False):
            for name, encoder in self.encoders.items():
                vectors = encoder(items, EncoderContext(phase, self.generators[name]))
                if vectors.shape != table.shape:
                    raise PluginError(f"encoder {name}: vectors have shape {tuple(vectors.shape)}. "
                                      f"Expected {tuple(table.shape)}, one for each item that it is asked for.")
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
