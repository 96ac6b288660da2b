"""Requests and gaps: what a token knows of the times before it."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbase.nn import Tokens

BUCKETS = 64
"""Buckets of gaps; the last holds all above five years."""

BUCKET_WIDTH = 0.301
"""Width of a bucket in log seconds."""

NEVER = torch.iinfo(torch.int64).min


class Requests(NamedTuple):
    """Of every token its request, counted from 0, and the bucket of the gap before it: int64 (B, S).

    Both are -1 where a token is no event.
    """

    number: Tensor
    gap: Tensor


def buckets(seconds: Tensor) -> Tensor:
    """floor(ln(max(|seconds|, 1)) / 0.301), at most 63: int64 in the shape of whole seconds.

    Source: the official code of Zhai et al. 2024; GenRank's own is not published.
    """
    return (seconds.double().abs_().clamp_(min=1).log_() / BUCKET_WIDTH).long().clamp_max(BUCKETS - 1)


def requests(tokens: Tokens, candidate: Tensor) -> Requests:
    """The requests of a batch's tokens; events of one time are one request, whose gap is that since the one before.

    `candidate` (B, E) bool: those of the E events that no other event may know of; each of them counts the context
    and itself. Times ascend in a row. The first request has bucket 0.
    """
    time, context = tokens.timestamp[:, tokens.n_prefix :], ~candidate
    latest = torch.where(context, time, NEVER).cummax(dim=1).values
    before = F.pad(latest[:, :-1], (1, 0), value=NEVER)
    new = time > before
    opening = new & context
    number = opening.cumsum(dim=1) + (new & candidate) - 1
    own = buckets(torch.where(before == NEVER, 0, time - before))
    opened = torch.where(opening, torch.arange(time.shape[1], device=time.device), 0).cummax(dim=1).values
    gap = torch.where(new, own, own.gather(1, opened))
    return Requests(*(F.pad(column, (tokens.n_prefix, 0), value=-1) for column in (number, gap)))
