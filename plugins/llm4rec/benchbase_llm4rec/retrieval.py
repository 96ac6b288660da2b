"""Retrieval: what of the catalogue's text is near to what a user read, current and well known, beside states."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.nn import Modifier, PartContext

from .config import RetrievalConfig
from .features import text_of
from .memory import moments

DAY = 86_400
SCORES = 2**23
"""Scores of entries held at a time, at most."""


class Retrieval(Modifier):
    """o' = o + sigma(g) Attn(o, K_ret): each event's state attends to the K entries that rank highest when it is asked.

    rho_j = (1 + cos(q, k_j)) / 2 exp(-age_j / tau) n_j / (n_j + n_0), where k_j is the vector of an item's text, q the
    mean of those that were read, later ones more, age_j the time since the item's last training event before the query,
    and n_j how many it had before. Items without one are not known yet. Attention begins from the weights
    softmax(rho / T). Source: Ma et al. 2025, retrieval-augmented conditioning; what it leaves open is ours.
    """

    texts: Tensor
    begins: Tensor
    known: Tensor

    def __init__(self, config: RetrievalConfig, context: BuildContext):
        super().__init__()
        self.config = config
        if not config.k:
            return
        text = text_of(config, context.catalogue)
        length = np.linalg.norm(text.values, axis=1, keepdims=True)
        unit = text.values / np.where(length > 0, length, 1)
        timed = config.decay > 0 or config.credibility > 0
        begins, known = moments(context.train() if timed else None, context.n_items, config.decay * DAY,
                                config.credibility)
        known[:, length[:, 0] == 0] = -np.inf
        self.register_buffer("texts", torch.from_numpy(unit.astype(np.float32)), persistent=False)
        self.register_buffer("begins", torch.from_numpy(begins), persistent=False)
        self.register_buffer("known", torch.from_numpy(known), persistent=False)
        width, height = context.width, unit.shape[1]
        self.of_query = nn.Linear(width, width, bias=False)
        self.of_key = nn.Linear(height, width, bias=False)
        self.of_value = nn.Linear(height, width, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def readout(self, ctx: PartContext, h: Tensor) -> Tensor | None:
        if not self.config.k:
            return None
        tokens, batch = ctx.tokens, ctx.batch
        shown = batch.valid & ~batch.hide_item
        with torch.no_grad():
            queries = self.queries(torch.where(shown, batch.items, 0))
            found, rho = self.search(queries[batch.valid], batch.query_times[batch.valid])
        place = torch.zeros_like(batch.items)
        place[batch.valid] = torch.arange(len(found), device=place.device)
        read = self.read(h[:, tokens.n_prefix :], found[place], rho[place], tokens.per_event)
        read = read * batch.valid.repeat_interleave(tokens.per_event, dim=1).unsqueeze(-1)
        return torch.cat([h[:, : tokens.n_prefix], h[:, tokens.n_prefix :] + read], dim=1)

    def queries(self, items: Tensor) -> Tensor:
        """q (B, T, d), of length 1 or 0: the mean of the texts of items (B, T) up to each, by recency^(steps ago)."""
        texts = F.embedding((items - 1).clamp_min(0), self.texts) * (items > 0).unsqueeze(-1)
        steps = torch.arange(items.shape[1], device=items.device)
        ago = steps[:, None] - steps
        weights = torch.where(ago >= 0, torch.as_tensor(self.config.recency, dtype=texts.dtype) ** ago.clamp_min(0), 0)
        return F.normalize(weights @ texts, dim=-1)

    def scores(self, queries: Tensor, times: Tensor) -> Tensor:
        """log rho (P, n_items) of queries (P, d) at times (P), -inf for what is not known by then."""
        near = (0.5 + 0.5 * (queries @ self.texts.T)).clamp_min(torch.finfo(queries.dtype).tiny).log_()
        when = torch.searchsorted(self.begins, times, right=True) - 1
        near += self.known[when.clamp_min(0)]
        if self.config.decay > 0:
            near -= ((times - self.begins[0]).to(near.dtype) / (self.config.decay * DAY)).unsqueeze(1)
        return near.masked_fill_((when < 0).unsqueeze(1), -torch.inf)

    def search(self, queries: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """The K entries that rank highest, from 0, and their rho, both (P, K); rho is 0 for what stands in for none."""
        k, rows = min(self.config.k, len(self.texts)), max(1, SCORES // len(self.texts))
        chunks = (slice(start, start + rows) for start in range(0, len(queries), rows))
        parts = [self.scores(queries[some], times[some]).topk(k, dim=1) for some in chunks]
        if not parts:
            return times.new_zeros(0, k), queries.new_zeros(0, k)
        return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts]).exp()

    def read(self, h: Tensor, found: Tensor, rho: Tensor, each: int) -> Tensor:
        """What states (B, T each, D) take of entries (B, T, K): sigma(g) Attn, 0 where there are none."""
        found, rho = (given.repeat_interleave(each, dim=1) for given in (found, rho))
        keys, values = (F.embedding(found, layer(self.texts)) for layer in (self.of_key, self.of_value))
        start = (rho / self.config.temperature).to(h.dtype)
        logits = torch.einsum("btd,btkd->btk", self.of_query(h), keys) / h.shape[-1] ** 0.5 + start
        there = rho > 0
        shares = logits.masked_fill(~there, torch.finfo(logits.dtype).min).softmax(dim=-1) * there
        return torch.sigmoid(self.gate) * torch.einsum("btk,btkd->btd", shares, values)
