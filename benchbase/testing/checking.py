"""What the contracts share: a check that speaks, random changes of a batch, and running a contract by hand."""

import pickle
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any
from unittest import SkipTest
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from ..data.batches import Batch
from ..nn import Encoded, PartContext, SequenceModel

EVENT_COLUMNS = ("items", "timestamps", "query_times", "domains", "actions", "features", "hide_item", "hide_action",
                 "candidate")
"""Columns of a batch with one value or vector per event."""

ATOL = 1e-9
"""Largest difference, in double precision, between numbers that must agree but for the order of sums."""


def check(condition: Any, message: str) -> None:
    """Fail with the message unless the condition holds."""
    if not bool(condition):
        raise AssertionError(message)


def same(a: Tensor, b: Tensor, what: str, atol: float = ATOL) -> None:
    """Fail unless two tensors agree to `atol`; 0 means bit for bit."""
    check(a.shape == b.shape, f"{what}: shapes {tuple(a.shape)} and {tuple(b.shape)}. Expected equal ones.")
    check(torch.isfinite(a).all() and torch.isfinite(b).all(), f"{what}: not finite. Expected numbers.")
    worst = float((a.detach().double() - b.detach().double()).abs().max()) if a.numel() else 0.0
    check(worst <= atol, f"{what}: differs by {worst:.3g}. Expected at most {atol:.3g}.")


def differ(a: Tensor, b: Tensor, what: str) -> None:
    """Fail where two tensors agree: the change behind them had no effect."""
    check((a.detach() - b.detach()).abs().max() > 1e-12, f"{what}: nothing moved. Expected an effect.")


def randomised(batch: Batch, where: Tensor, seed: int = 1, n_items: int = 30) -> Batch:
    """The batch with other items, times, domains, actions and features `where` (B, T) says; hidden ones stay hidden."""
    draw = torch.Generator().manual_seed(seed)

    def number(like: Tensor, low: int, high: int) -> Tensor:
        return torch.randint(low, high, like.shape, generator=draw)

    def uniform(like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=draw, dtype=like.dtype)

    other = 1 + (batch.items - 1 + number(batch.items, 1, n_items)) % n_items
    shown = where & ~batch.hide_item
    acted = (where & ~batch.hide_action).unsqueeze(-1)
    return replace(
        batch,
        items=torch.where(shown, other, batch.items),
        timestamps=torch.where(where, batch.timestamps + number(batch.items, 1, 10**6), batch.timestamps),
        query_times=torch.where(where, batch.query_times + number(batch.items, 1, 10**6), batch.query_times),
        domains=torch.where(shown, 1 - batch.domains.clamp_min(0), batch.domains),
        actions=torch.where(acted, uniform(batch.actions), batch.actions),
        features=torch.where(where.unsqueeze(-1), uniform(batch.features), batch.features),
    )


def padded(batch: Batch, columns: int) -> Batch:
    """The batch with more padding."""
    wide: dict[str, Any] = {}
    for name in EVENT_COLUMNS:
        column = getattr(batch, name)
        fill = column.new_full((len(column), columns, *column.shape[2:]), -1 if name == "domains" else 0)
        wide[name] = torch.cat([column, fill], dim=1)
    return replace(batch, **wide)


def row_of(batch: Batch, row: int) -> Batch:
    """One row alone, cut to its length."""
    return rows_of(batch, [row])


def rows_of(batch: Batch, rows: Sequence[int]) -> Batch:
    """These rows in this order, cut to the longest of them."""
    picked = list(rows)
    length = int(batch.lengths[picked].max())
    cut: dict[str, Any] = {name: getattr(batch, name)[picked, :length] for name in EVENT_COLUMNS}
    return replace(batch, users=batch.users[picked], lengths=batch.lengths[picked], **cut)


def cut(batch: Batch, length: int) -> Batch:
    """The batch as it was when rows had at most `length` events."""
    early: dict[str, Any] = {name: getattr(batch, name)[:, :length] for name in EVENT_COLUMNS}
    return replace(batch, lengths=batch.lengths.clamp_max(length), **early)


def distinct(batch: Batch) -> Batch:
    """The batch with the items that it shows all different: an item's vector then tells whose event it was of."""
    other = torch.arange(1, batch.items.numel() + 1).view_as(batch.items)
    return replace(batch, items=torch.where(batch.items > 0, other, 0))


def encode(model: SequenceModel, batch: Batch, phase: Any = "score") -> Encoded:
    """One forward pass, the modules in the mode that the phase means."""
    model.train(phase == "train")
    return model.encode(batch, phase)


def states(model: SequenceModel, batch: Batch, phase: Any = "score") -> Tensor:
    """States after each event (B, T, D), in the graph."""
    after = encode(model, batch, phase).states.after
    check(after is not None, "the backbone gives no states after events. Expected some.")
    assert after is not None
    return after


def item_gradient(model: SequenceModel, state: Tensor) -> Tensor:
    """The gradient of a state, in a random direction, to every item's vector (n_items, D)."""
    table = model.embedding.table
    grad, = torch.autograd.grad((state * cotangent(state)).sum(), table, retain_graph=True, allow_unused=True)
    return torch.zeros_like(table) if grad is None else grad


def rewound(model: SequenceModel) -> SequenceModel:
    """The model, its parts' generators set to one state: two passes of one shape then draw the same numbers."""
    for generator in model.generators.values():
        generator.manual_seed(1)
    return model


@contextmanager
def no_dropout() -> Iterator[None]:
    """`ctx.dropout` lets everything through, so that train passes of different shapes can be compared."""
    with patch.object(PartContext, "dropout", lambda self, x, p: x):
        yield


def global_states() -> dict[str, Any]:
    """The states of the generators that no part may draw from, by library."""
    return {"torch": torch.get_rng_state().tolist(), "python": random.getstate(),
            "numpy": pickle.dumps(np.random.get_state())}  # noqa: NPY002


def cotangent(like: Tensor, seed: int = 0) -> Tensor:
    """A random direction: a sum would be blind behind a normalisation."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


@contextmanager
def keeps_global_state(what: str) -> Iterator[None]:
    """Fail where the block draws from a global generator."""
    before = global_states()
    yield
    for library, state in global_states().items():
        check(state == before[library], f"{what}: draws from {library}'s global generator. Expected ctx.generator.")


@contextmanager
def said(what: str, expected: str) -> Iterator[None]:
    """Turn an error of the backbone into one that says with which input it failed, and what it must stand."""
    try:
        yield
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}. Expected {expected}.") from error


def clone_fields(thing: Any) -> dict[str, Any]:
    """A copy of every tensor of a frozen group, to see later whether one was changed in place."""
    return {f.name: v.clone() for f in fields(thing) if isinstance(v := getattr(thing, f.name), Tensor)}


def copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Clones of tensors by name; what is no tensor stays what it is."""
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in values.items()}


def violations(contract: type, rules: Collection[str] | None = None) -> dict[str, str]:
    """Run a contract, or some of its rules, without a test runner: the message of every rule broken, by name."""
    found = {}
    known = sorted(name for name in dir(contract) if name.startswith("test_"))
    for name in known if rules is None else rules:
        test: Callable[[], None] = getattr(contract(), name)
        try:
            test()
        except SkipTest:
            continue
        except Exception as error:  # a part under test may raise anything; it is reported, not hidden
            found[name] = f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error)
    return found
