"""Layouts: how events become tokens, which mask they get, and which token's hidden is which state."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..data.batches import Batch
from ..specs import LayoutConfig
from .tokens import Kind, PrefixTokens, States, Tokens


def layout_tokens(config: LayoutConfig, batch: Batch, items: Tensor, actions: Callable[[], Tensor] | None,
                  hidden: Tensor | None = None) -> Tokens:
    """The event tokens of a batch.

    `items` (B, T, D): item vectors, hidden ones already in place; `actions()` (B, T, D): action vectors, 0
    where hidden, or None where the data has no actions; `hidden` (D): what a token holds in place of a hidden action.
    """
    if config.kind == "items":
        return _tokens(config, batch, items, [Kind.ITEM], actions)
    assert actions is not None, "assemble refuses this layout without actions"
    shown = actions()
    if hidden is not None and bool(batch.hide_action.any()):
        shown = torch.where(batch.hide_action.unsqueeze(-1), hidden, shown)
    if config.kind == "stacked":
        return _tokens(config, batch, items + shown, [Kind.JOINT], actions)
    pairs = torch.stack([items, shown], dim=2).flatten(1, 2)
    return _tokens(config, batch, pairs, [Kind.ITEM, Kind.ACTION], actions)


def _tokens(config: LayoutConfig, batch: Batch, x: Tensor, kinds: Sequence[Kind],
            actions: Callable[[], Tensor] | None) -> Tokens:
    each = len(kinds)
    rows, events = batch.items.shape
    index = torch.arange(events, device=x.device).expand(rows, events)

    def spread(values: Tensor) -> Tensor:
        return values if each == 1 else values.repeat_interleave(each, dim=1)

    kind = torch.tensor(kinds, device=x.device).repeat(events).expand(rows, -1)
    return Tokens(
        x=x, event=spread(index), kind=kind, position=spread(event_positions(batch, config.position)),
        timestamp=spread(batch.timestamps), query_time=spread(batch.query_times), domain=spread(batch.domains),
        segment=torch.zeros_like(kind), valid=spread(batch.valid), per_event=each, embed_actions=actions,
    )


def event_positions(batch: Batch, end: str) -> Tensor:
    """Positions (B, T) from 0: from the oldest kept event, or from the newest; candidates share the next one."""
    events = batch.items.shape[1]
    index = torch.arange(events, device=batch.items.device).expand_as(batch.items)
    context = (batch.valid & ~batch.candidate).sum(dim=1, keepdim=True)
    position = torch.where(batch.candidate, context, index)
    if end == "from_start":
        return position
    last = context - 1 + batch.candidate.any(dim=1, keepdim=True).to(context.dtype)
    return (last - position).clamp_min(0)


def user_prefix(vector: Tensor) -> PrefixTokens:
    """The user token, (B, 1, D)."""
    return PrefixTokens(vector[:, None])


def with_prefixes(tokens: Tokens, prefixes: Sequence[tuple[PrefixTokens, Kind]]) -> Tokens:
    """The tokens with others put before them, in the given order."""
    if not prefixes:
        return tokens
    rows = len(tokens.x)
    blocks = [_prefix_block(prefix, kind, rows, tokens) for prefix, kind in prefixes]
    names = ("x", "event", "kind", "position", "timestamp", "query_time", "domain", "segment", "valid")
    joined = {name: torch.cat([*(getattr(b, name) for b in blocks), getattr(tokens, name)], dim=1) for name in names}
    count = sum(block.x.shape[1] for block in blocks)
    return Tokens(**joined, n_prefix=count, per_event=tokens.per_event, embed_actions=tokens.embed_actions)


def _prefix_block(prefix: PrefixTokens, kind: Kind, rows: int, tokens: Tokens) -> Tokens:
    """One group of prefix tokens with every column a token has."""
    x = prefix.x.expand(rows, -1, -1)
    shape = x.shape[:2]

    def column(given: Tensor | None, fill: int) -> Tensor:
        if given is None:
            return tokens.event.new_full(shape, fill)
        return given.to(tokens.event.dtype).expand(shape)

    valid = torch.ones(shape, dtype=torch.bool, device=x.device) if prefix.valid is None else prefix.valid.expand(shape)
    time = column(prefix.timestamp, 0)
    return Tokens(
        x=x, event=column(None, -1), kind=column(None, int(kind)), position=column(None, -1), timestamp=time,
        query_time=time, domain=column(prefix.domain, -1), segment=column(None, prefix.segment), valid=valid,
    )


def base_mask(tokens: Tokens, batch: Batch, causal: bool, readers: Tensor | None = None) -> Tensor | None:
    """The core's mask (1 or B, 1, 1 or S, S) bool, True = may attend; None where the plain triangle says it all.

    Valid keys only; events see all prefix tokens and, under `causal`, no later event; prefix tokens see
    prefix tokens, the user token itself alone; a candidate sees the context and itself. `readers` (S) bool marks
    prefix tokens that may read every event.
    """
    if tokens.n_prefix == 0 and not bool(batch.candidate.any()):
        return None if causal else tokens.valid[:, None, None, :]
    allowed = _order(tokens, causal, readers) & tokens.valid[:, None, None, :]
    if bool(batch.candidate.any()):
        allowed = allowed & _candidates(tokens, batch)
    return allowed


def causal_base(tokens: Tokens) -> Tensor:
    """The base mask in full where attention runs as the plain triangle, (B, 1, S, S) bool."""
    return _order(tokens, True, None) & tokens.valid[:, None, None, :]


def not_itself(tokens: Tokens) -> Tensor:
    """Every pair but an event's token with itself, (1, 1, S, S) bool; prefix tokens may see themselves."""
    own = torch.eye(tokens.x.shape[1], dtype=torch.bool, device=tokens.x.device)
    own[: tokens.n_prefix] = False
    return ~own[None, None]


def _order(tokens: Tokens, causal: bool, readers: Tensor | None) -> Tensor:
    """Who may see whom by kind and order, (1, 1, S, S) bool: the same for every row."""
    size, count = tokens.x.shape[1], tokens.n_prefix
    device = tokens.x.device
    allowed = torch.ones(size, size, dtype=torch.bool, device=device)
    if causal:
        allowed = allowed.tril()
    if count:
        allowed[:count] = False
        allowed[:count, :count] = True
        users = (tokens.kind[0, :count] == Kind.USER).nonzero().flatten()
        allowed[users] = False
        allowed[users, users] = True
        if readers is not None:
            allowed[readers.nonzero().flatten(), :] = True
    return allowed[None, None]


def _candidates(tokens: Tokens, batch: Batch) -> Tensor:
    """Candidates are seen by themselves alone, (B, 1, S, S) bool."""
    event = tokens.event
    is_candidate = torch.where(event >= 0, batch.candidate.gather(1, event.clamp_min(0)), False)
    same = event[:, :, None] == event[:, None, :]
    return (~is_candidate[:, None, :] | same)[:, None]


def event_states(wide: Tensor, h: Tensor, tokens: Tokens, batch: Batch, kind: str, masked: bool) -> States:
    """States by event: `before` from the hidden of all tokens as read out (B, S, any), `after` from it as scored.

    Action heads take the width of the readout; items are scored at the width of their vectors (B, S, D).
    """
    before, after = wide[:, tokens.n_prefix :], h[:, tokens.n_prefix :]
    if kind == "interleaved":
        return States(after=after[:, 1::2], before=before[:, 0::2], own=masked)
    if kind == "stacked":
        return States(after=after, before=before if bool(batch.hide_action.any()) else None, own=masked)
    return States(after=after, before=before, own=masked)
