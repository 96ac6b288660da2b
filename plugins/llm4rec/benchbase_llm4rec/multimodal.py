"""Multimodal item vectors: an encoder a modality, attention across modalities, adaptive fusion."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.nn import Encoder, EncoderContext, init_normal

from .config import MultimodalConfig
from .features import Dense, Labels, modalities

STD = 0.02
"""Standard deviation that vectors start with: that of the core's table."""


class Multimodal(Encoder):
    """e_i = W_f h_fused, which the core adds to the vector of the item's id.

    A modality m has one token, h_m of width D, or a learned null where an item lacks it. Tokens attend to those of
    other modalities (`attention`), and h_fused = sum over m of alpha_m h_m + beta MLP([h_1; ...; h_M]).
    Source: Ma et al. 2025, modality encoders, cross-modal attention and adaptive fusion; what it leaves open is ours.
    """

    known: Tensor

    def __init__(self, config: MultimodalConfig, context: BuildContext):
        super().__init__()
        found, width = modalities(config, context.catalogue), context.width
        self.names, self.dropout = tuple(found), config.dropout
        self.readers = nn.ModuleList(_reader(each, name, width) for name, each in found.items())
        self.null = nn.Parameter(init_normal(torch.empty(len(found), width)))
        known = np.stack([each.known for each in found.values()], axis=1)
        self.register_buffer("known", torch.from_numpy(known), persistent=False)
        self.attention = CrossModal(len(found), width) if config.attention and len(found) > 1 else None
        self.weigh = Adaptive(width) if config.fusion == "adaptive" and len(found) > 1 else None
        self.mlp: nn.Sequential | None = None
        self.beta: nn.Parameter | None = None
        if config.beta > 0:
            self.mlp = nn.Sequential(nn.Linear(len(found) * width, width), nn.GELU(), nn.Linear(width, width))
            self.beta = nn.Parameter(torch.tensor(config.beta))
        self.out = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.out.weight, std=STD / width**0.5)

    def tokens(self, items: Tensor) -> Tensor:
        """One vector for each modality of items (k), (k, M, D), the null where an item lacks it."""
        row = items - 1
        read = torch.stack([reader(row) for reader in self.readers], dim=1)
        return torch.where(self.known[row].unsqueeze(-1), read, self.null)

    def weights(self, tokens: Tensor) -> Tensor:
        """alpha (k, M), which adds up to 1, of tokens (k, M, D)."""
        if self.weigh is None:
            return tokens.new_full(tokens.shape[:2], 1 / tokens.shape[1])
        weights: Tensor = self.weigh(tokens)
        return weights

    def fused(self, items: Tensor) -> Tensor:
        """h_fused (k, D) of items (k)."""
        tokens = self.tokens(items)
        if self.attention is not None:
            tokens = tokens + self.attention(tokens)
        fused = (self.weights(tokens).unsqueeze(-1) * tokens).sum(dim=1)
        if self.mlp is None or self.beta is None:
            return fused
        more: Tensor = self.mlp(tokens.flatten(1))
        return fused + self.beta * more

    def forward(self, items: Tensor, ctx: EncoderContext) -> Tensor:
        made: Tensor = self.out(ctx.dropout(self.fused(items), self.dropout))
        return made


class CrossModal(nn.Module):
    """Asymmetric attention across modalities: each has its own query, key and value, and none reads itself.

    A_{m to n} = softmax over n != m of q_m k_n / sqrt(D).
    """

    other: Tensor

    def __init__(self, count: int, width: int):
        super().__init__()
        self.map = nn.Parameter(torch.empty(3, count, width, width))
        for each in self.map.data.flatten(0, 1):
            nn.init.xavier_uniform_(each)
        self.register_buffer("other", ~torch.eye(count, dtype=torch.bool), persistent=False)

    def weights(self, tokens: Tensor) -> Tensor:
        """A (k, M, M): rows add up to 1, the diagonal is 0."""
        query, key = (torch.einsum("kmd,mde->kme", tokens, self.map[part]) for part in range(2))
        scores: Tensor = query @ key.transpose(1, 2) / tokens.shape[2] ** 0.5
        return scores.masked_fill(~self.other, -torch.inf).softmax(dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """What each modality reads of the others, (k, M, D)."""
        read: Tensor = torch.einsum("kmd,mde->kme", tokens, self.map[2])
        return self.weights(tokens).matmul(read)


class Adaptive(nn.Module):
    """alpha_m = softmax over m of w tanh(W h_m)."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, 1, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.outer(torch.tanh(self.inner(tokens)))
        return scores.squeeze(-1).softmax(dim=-1)


def _reader(modality: Dense | Labels, name: str, width: int) -> nn.Module:
    """What makes h_m of a modality's features: numbers that are few go through two layers, vectors through one."""
    if isinstance(modality, Labels):
        return LabelReader(modality, width)
    return DenseReader(modality, width, deep=name in ("numbers", "times", "place"))


class DenseReader(nn.Module):
    """Numbers of items (n_items, d) to vectors of width D, normalised."""

    values: Tensor

    def __init__(self, modality: Dense, width: int, deep: bool):
        super().__init__()
        self.register_buffer("values", torch.from_numpy(modality.values), persistent=False)
        first = nn.Linear(modality.values.shape[1], width)
        self.map = nn.Sequential(first, nn.GELU(), nn.Linear(width, width)) if deep else first
        self.norm = nn.LayerNorm(width)

    def forward(self, row: Tensor) -> Tensor:
        made: Tensor = self.norm(self.map(self.values[row]))
        return made


class LabelReader(nn.Module):
    """Labels of items to vectors of width D, normalised: the mean over each column's labels, added over columns."""

    def __init__(self, modality: Labels, width: int):
        super().__init__()
        self.tables = nn.ParameterList(init_normal(torch.empty(len(each.labels), width)) for each in modality.columns)
        for place, each in enumerate(modality.columns):
            self.register_buffer(f"offsets_{place}", torch.from_numpy(np.array(each.offsets[1:])), persistent=False)
            self.register_buffer(f"labels_{place}", torch.from_numpy(each.values.astype(np.int64)), persistent=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, row: Tensor) -> Tensor:
        made: Tensor = self.norm(torch.stack([self._means(place, row) for place in range(len(self.tables))]).sum(dim=0))
        return made

    def _means(self, place: int, row: Tensor) -> Tensor:
        """The mean vector of one column's labels of each item (k, D), 0 without labels."""
        offsets, labels = getattr(self, f"offsets_{place}"), getattr(self, f"labels_{place}")
        first, count = offsets[row], offsets[row + 1] - offsets[row]
        begins = count.cumsum(0) - count
        at = torch.repeat_interleave(first - begins, count) + torch.arange(int(count.sum()), device=row.device)
        return F.embedding_bag(labels[at], self.tables[place], begins, mode="mean")
