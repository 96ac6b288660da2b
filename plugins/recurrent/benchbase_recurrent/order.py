"""The order in which a recurrent layer reads the tokens of a batch."""

import torch
from torch import Tensor, nn

from benchbase.nn import Tokens


class ReadingOrder:
    """The context first, its valid tokens in turn; then each candidate by itself, from the state after the context.

    What is no context (padding, prefix tokens that are not valid, candidates) is read after it, so it moves no state of
    the context; the plain order of the tokens is kept where that is so already.
    """

    def __init__(self, tokens: Tokens, candidate: Tensor):
        self.order: Tensor | None = None
        self.per_event = tokens.per_event
        self.candidates: tuple[Tensor, Tensor] | None = None
        some = bool(candidate.any())
        if not some and not tokens.n_prefix:
            return  # padding stands on the right
        chosen = _of_candidates(tokens, candidate)
        context = tokens.valid & ~chosen
        if bool((context[:, 1:] & ~context[:, :-1]).any()):
            self.order = (~context).to(torch.uint8).argsort(dim=1, stable=True)
        if some:
            row, column = chosen.nonzero(as_tuple=True)
            self.candidates = row, column
            place = torch.arange(1, context.shape[1] + 1, device=context.device)
            self.last = (context * place).amax(dim=1) - 1  # (B), -1 where a row has no context

    def run(self, gru: nn.Module, x: Tensor) -> Tensor:
        """States (B, S, H) after each token of x (B, S, D)."""
        if self.order is None:
            h, _ = gru(x)
        else:
            read, _ = gru(x.take_along_dim(self.order[..., None], dim=1))
            h = read.take_along_dim(self.order.argsort(dim=1)[..., None], dim=1)
        return h if self.candidates is None else self._candidates(gru, x, h, self.candidates)

    def _candidates(self, gru: nn.Module, x: Tensor, h: Tensor, where: tuple[Tensor, Tensor]) -> Tensor:
        """The same states with those of candidates in place, all read at once."""
        row = where[0][:: self.per_event]
        last = self.last[row]
        start = h[row, last.clamp_min(0)] * (last >= 0)[:, None]  # (n, H)
        read, _ = gru(x[where].view(len(row), self.per_event, -1), start[None])
        return h.index_put(where, read.flatten(0, 1))


def _of_candidates(tokens: Tokens, candidate: Tensor) -> Tensor:
    """Which tokens belong to candidates, (B, S) bool, from those events (B, T) bool."""
    return (tokens.event >= 0) & candidate.gather(1, tokens.event.clamp_min(0))
