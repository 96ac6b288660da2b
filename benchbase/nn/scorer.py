"""Scorer: from a state to a score for every item; the same object for loss and ranking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..specs import ScorerConfig
from .embedding import ItemEmbedding, Items, init_normal
from .picked import picked_scores


@dataclass(frozen=True)
class ItemBias:
    """A term per item (n_items,), the same for every row: it keeps the fused softmax loss."""

    vector: Tensor


ScoreTerm = Callable[[Tensor], Tensor | ItemBias | None]
"""From item ids (M) to a matrix (B, M), a bias over all items, or None."""


class Scorer(nn.Module):
    """Item vectors and how a query meets them; column j of a score matrix is item j + 1."""

    def __init__(self, config: ScorerConfig, embedding: ItemEmbedding):
        super().__init__()
        self.config = config
        self._embedding = [embedding]  # in a list: the table belongs to the model, not to this module
        n_items, width = embedding.n_items, embedding.width
        self.table = None
        if config.output == "separate":
            self.table = nn.Parameter(init_normal(torch.empty(n_items, width)))
        self.item_bias = nn.Parameter(torch.zeros(n_items)) if config.bias else None

    @property
    def n_items(self) -> int:
        return self._embedding[0].n_items

    def vectors(self, items: Tensor | None = None, source: Items | None = None) -> Tensor:
        """Vectors as scored, of all items (n_items, D) or of some (k): normalised under `score: cosine`.

        `source`: those of a forward pass, where they are tied and made already.
        """
        source = source or self._embedding[0]
        if self.table is None:
            table = source.items() if items is None else source.rows(items)
        else:
            table = self.table if items is None else self.table.index_select(0, items - 1)
        return F.normalize(table, dim=-1) if self.config.score == "cosine" else table

    def query(self, states: Tensor) -> Tensor:
        """States (P, D) as scored: normalised under `score: cosine`, divided by the temperature."""
        if self.config.score == "cosine":
            states = F.normalize(states, dim=-1)
        return states if self.config.temperature == 1.0 else states / self.config.temperature


def full_scores(query: Tensor, vectors: Tensor, bias: Tensor | None, matrix: Tensor | None) -> Tensor:
    """Scores of all items (P, N) from what `BoundScorer.linear` returns."""
    scores = query @ vectors.T if bias is None else torch.addmm(bias, query, vectors.T)
    return scores if matrix is None else scores + matrix


class BoundScorer:
    """The scorer for one batch: it also knows which row each state is of, and the score terms in force.

    `vectors` as scored, where they are made already; `source`: where else they come from.
    """

    def __init__(self, scorer: Scorer, row: Tensor, terms: Sequence[ScoreTerm] = (), vectors: Tensor | None = None,
                 source: Items | None = None):
        self.scorer, self.row, self.terms, self.source = scorer, row, terms, source
        self._given, self._made = vectors, vectors

    @property
    def vectors(self) -> Tensor:
        """Vectors of all items (n_items, D), made when they are first asked for."""
        if self._made is None:
            self._made = self.scorer.vectors(source=self.source)
        return self._made

    def rows(self, some: slice) -> "BoundScorer":
        """The same scorer for some of the states."""
        return BoundScorer(self.scorer, self.row[some], self.terms, self.vectors)

    def linear(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Query (P, D), item vectors (N, D), bias (N) or None, term matrix (P, N) or None: their sum is the score."""
        bias, matrix = self._all_terms()
        return self.scorer.query(states), self.vectors, bias, matrix

    def scores(self, states: Tensor) -> Tensor:
        """Scores of all items (P, n_items)."""
        return full_scores(*self.linear(states))

    def score_items(self, states: Tensor, items: Tensor) -> Tensor:
        """Scores (P, k) of `items`: (P, k) for each state its own, or (k) shared by all.

        No more vectors are made than there are items, so (P, k, D) is never held where that is much.
        """
        query = self.scorer.query(states)
        if items.dim() == 1:
            scores = query @ self._picked(items).T
        elif items.numel() < self.scorer.n_items:
            scores = torch.einsum("pd,pkd->pk", query, self._picked(items.flatten()).view(*items.shape, query.shape[1]))
        else:
            scores = picked_scores(query, self.vectors, items - 1)
        bias, matrix = self._all_terms() if self.terms or self.scorer.item_bias is not None else (None, None)
        if bias is not None:
            scores = scores + bias.index_select(0, items.flatten() - 1).view(items.shape)
        if matrix is not None:
            scores = scores + (matrix[:, items - 1] if items.dim() == 1 else matrix.gather(1, items - 1))
        return scores

    def _picked(self, items: Tensor) -> Tensor:
        """Vectors (k, D) of items (k)."""
        if self._given is not None:
            return self._given.index_select(0, items - 1)
        return self.scorer.vectors(items, self.source)

    def _all_terms(self) -> tuple[Tensor | None, Tensor | None]:
        bias: Tensor | None = self.scorer.item_bias
        matrix: Tensor | None = None
        if self.terms:
            items = torch.arange(1, self.scorer.n_items + 1, device=self.row.device)
            for term in self.terms:
                value = term(items)
                if isinstance(value, ItemBias):
                    bias = value.vector if bias is None else bias + value.vector
                elif value is not None:
                    matrix = value if matrix is None else matrix + value
        return bias, None if matrix is None else matrix[self.row]
