"""The softmax over the items of the target's domain, of both states."""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchbase import BuildContext
from benchbase.data.batches import Batch, Targets
from benchbase.nn import Objective, Output, TaggedParameter, full_scores, softmax_loss, softmax_loss_from_scores

from . import MIXED
from .blocks import block_of, domains_of, filled

TABLES = frozenset({"embedding.table", "scorer.table"})
"""Tables of item vectors, by the names that the core gives them."""


class DomainSoftmax(Objective):
    """Means of -log softmax(scores of the items of the target's domain)[target]: `single` of the state that is scored,
    h + h_d, `shared` of the mixed one alone, h.

    Item vectors start with zeros outside of their domain's block, and nothing here reaches these. Items of no domain
    are one more domain, which fills every block.
    Source: C2DSR, single- and cross-domain training objectives.
    """

    domain: Tensor
    place: Tensor

    def __init__(self, context: BuildContext):
        super().__init__()
        self.n_domains, self.width = context.n_domains, context.width // context.n_domains
        domain = domains_of(context.catalogue)
        self.groups_of_items = sorted(set(domain.tolist()))
        place = torch.zeros_like(domain)
        for group in self.groups_of_items:
            items = (domain == group).nonzero().flatten()
            place[items] = torch.arange(len(items))
            self.register_buffer(f"items_{group}", items, persistent=False)
        self.register_buffer("domain", domain, persistent=False)
        self.register_buffer("place", place, persistent=False)  # of each item among those of its domain

    def bind(self, parameters: Sequence[TaggedParameter]) -> None:
        """Empty the blocks of other domains."""
        mask = filled(self.domain, self.n_domains, self.width)
        with torch.no_grad():
            for each in parameters:
                if each.name in TABLES:
                    each.parameter.mul_(mask.to(each.parameter.device))

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        """`single` and `shared`, scalars."""
        tokens = output.tokens
        mixed = output.traces[MIXED][targets.row, tokens.n_prefix + tokens.per_event * targets.event - 1]
        every = mixed.to(output.states.dtype).repeat(1, self.n_domains)
        return {"single": self._nll(output, output.states, targets), "shared": self._nll(output, every, targets)}

    def _nll(self, output: Output, states: Tensor, targets: Targets) -> Tensor:
        """The mean over targets, domain by domain."""
        query, vectors, bias, matrix = output.scorer.linear(states)
        of, total = self.domain[targets.item - 1], targets.weights.sum()
        found = []
        for group in self.groups_of_items:
            asked = (of == group).nonzero().flatten()
            if len(asked) == 0:
                continue
            items, block = getattr(self, f"items_{group}"), block_of(group, self.width)
            q, v = query[asked, block], vectors.index_select(0, items)[:, block]
            b = None if bias is None else bias.index_select(0, items)
            at, weights = self.place[targets.item[asked] - 1], targets.weights[asked]
            if matrix is None:
                loss = softmax_loss(q, v, at, weights, b)
            else:
                own = matrix.index_select(0, asked).index_select(1, items)
                loss = softmax_loss_from_scores(full_scores(q, v, b, own), at, weights)
            found.append(loss * weights.sum() / total.clamp_min(torch.finfo(total.dtype).tiny))
        return torch.stack(found).sum()
