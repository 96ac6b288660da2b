"""Plans of a million long histories in bounded memory: events a second, against the loop one writes first, in one run.

`python benchmarks/plan_history.py [--users 1000000] [--events 200] [--rows 128] [--sample 32]` asks CAUSE for the plans
of so many users, `rows` of them at a time as they stream in, of items with one category of 18, then with one to three.
Printed after 10, 50 and 100 % of the users are events planned a second (their making not counted) and peak memory above
that at rest, which must stay where it was. Those three chunks are planned again in turns with two references on
`sample` of their users: the same buckets as a plain Python loop, and `BucketStream.update`, which a service calls event
by event; all three must end in the same buckets. The ratio is of median rates to the loop's: above 1 means faster.
Limit: 1,000,000 events a second. `--small` is a quick look. Needs the plugin `cause`.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from backbones import MIB
from benchbase_cause.stream import BucketStream
from shapes import categories_of

from benchbase import BuildContext
from benchbase.data import Catalogue, Categories
from benchbase.data.sequences import Events
from benchbase.memory import peak_memory, reset_peak
from benchbase.nn import Compressor, Plan
from benchbase.registry import Registry

ITEMS, CATEGORIES, WINDOW = 27_000, 18, 50
BUCKETS, SIZE = 8, 32
"""V and G of the paper."""
LIMIT = 1_000_000
MARKS = (0.1, 0.5, 1.0)

Row = list[tuple[int, list[int]]]
"""A user's buckets: category and items, newest first at both levels."""


class Turns:
    """Seconds an event of each contender, turn by turn."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    def take(self, name: str, work: Callable[[], Any], events: int) -> Any:
        """What `work` makes of so many events."""
        start = time.perf_counter()
        made = work()
        self.spent.setdefault(name, []).append((time.perf_counter() - start) / events)
        return made

    def a_second(self, name: str) -> float:
        """The median rate."""
        return 1 / statistics.median(self.spent[name])


def cause(categories: Categories) -> Compressor:
    catalogue = Catalogue(np.arange(ITEMS + 1), has_time=True, categories={"genre": categories})
    spec = Registry.load().get("compressor", "cause")
    context = BuildContext(n_items=ITEMS, n_users=0, window=WINDOW, max_tokens=WINDOW, catalogue=catalogue, width=8)
    made: Compressor = spec.build(spec.config.model_validate({"buckets": BUCKETS, "items": SIZE}), context)
    return made


def chunks(users: int, events: int, rows: int) -> Iterator[Events]:
    """Histories of one length, of items drawn by a power law, an hour apart."""
    draw = np.random.default_rng(0)
    for start in range(0, users, rows):
        here = min(rows, users - start)
        item = (ITEMS * draw.random(here * events, np.float32) ** 2).astype(np.int32) + 1
        times = np.tile(1_600_000_000 + 3600 * np.arange(events), here)
        yield Events(np.arange(here + 1) * events, np.minimum(item, ITEMS), times, np.zeros((len(item), 0), np.float32))


def loop(items: list[int], of: list[list[int]]) -> Row:
    """One user's buckets from items, oldest first, and the categories `of` every item."""
    found: dict[int, list[int]] = {}
    for item in reversed(items):
        for category in of[item]:
            if category not in found:
                if len(found) == BUCKETS:
                    continue
                found[category] = []
            if len(found[category]) < SIZE:
                found[category].append(item)
    return list(found.items())


def listed(tokens: np.ndarray, arrays: Mapping[str, np.ndarray], row: int) -> Row:
    """A row of buckets in the form of the loop's."""
    return [(int(arrays["category"][row, place]), arrays["items"][row, place][arrays["items"][row, place] > 0].tolist())
            for place in range(tokens[row])]


def stream(items: list[int], times: list[int], categories: Categories) -> BucketStream:
    """The buckets of one user, event by event."""
    made = BucketStream(categories, BUCKETS, SIZE)
    for item, when in zip(items, times, strict=True):
        made.update(item, when)
    return made


def compare(events: Events, ask: Callable[[], Plan], sample: int, categories: Categories, of: list[list[int]],
            turns: Turns) -> None:
    """Plan a chunk, and its first users by both references, in turns; all must end in the same buckets."""
    for row in range(min(sample, events.n_rows)):
        some = slice(events.offsets[row], events.offsets[row + 1])
        items, times = events.item[some].tolist(), events.timestamp[some].tolist()
        plan = turns.take("plan", ask, len(events.item))
        found = turns.take("loop", partial(loop, items, of), len(items))
        kept = turns.take("stream", partial(stream, items, times, categories), len(items)).filled()
        if not listed(plan.tokens, plan.arrays, row) == found == listed(kept.tokens, vars(kept), 0):
            raise SystemExit(f"user {row} of the chunk: plan, loop and stream disagree.")


def measure(name: str, categories: Categories, args: argparse.Namespace) -> None:
    """Plan every chunk, forget it, and print at the marks."""
    compressor, turns = cause(categories), Turns()
    of = [categories.of(item).tolist() for item in range(ITEMS + 1)]
    marks = [-(-round(mark * args.users) // args.rows) for mark in MARKS]
    print(f"{name} an item")
    reset_peak()
    at_rest, planned, seconds = peak_memory(), 0, 0.0
    for number, events in enumerate(chunks(args.users, args.events, args.rows), 1):
        window = next(chunks(events.n_rows, WINDOW, args.rows))
        start = time.perf_counter()
        compressor.plan(events, window, WINDOW)
        seconds += time.perf_counter() - start
        planned += len(events.item)
        if number in marks:
            share = planned / (args.users * args.events)
            print(f"{share:6.0%} {planned:14,} events {planned / seconds:12,.0f} a second  peak "
                  f"{(peak_memory() - at_rest) / MIB:6.1f} MiB", flush=True)
            compare(events, partial(compressor.plan, events, window, WINDOW), args.sample, categories, of, turns)
    reference = turns.a_second("loop")
    for each in turns.spent:
        print(f"       {each:<6} in turns {turns.a_second(each):13,.0f} a second  ratio "
              f"{turns.a_second(each) / reference:6.2f}")
    print(f"       of the limit {planned / seconds / LIMIT:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"users": 1_000_000, "events": 200, "rows": 128, "sample": 32}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", action="store_true", help="20,000 users")
    args = parser.parse_args()
    args.users = 20_000 if args.small else args.users
    print(f"{args.users:,} users of {args.events} events, {args.rows} at a time, V={BUCKETS}, G={SIZE}, {CATEGORIES} "
          "categories, one process")
    for name, most in (("one category", 1), ("one to three categories", 3)):
        measure(name, categories_of(ITEMS, CATEGORIES, most), args)


if __name__ == "__main__":
    main()
