"""What a history in a few tokens costs and saves: CAUSE beside the plain backbone, window by window, in one run.

`python benchmarks/compression.py [--windows 64 128 256 512] [--backbones hstu genrank] [--rows 16] [--steps 5]
[--budget total] [--history 512] [--width 64] [--layers 3] [--heads 8] [--threads 2] [--device cpu]` takes whole
training steps with the full softmax on users with so many events before the longest window, of items with one to three
of 18 categories; `hstu` has two tokens an event, `genrank` one, and both a user token. Then it scores all items: for
one user at a time (the paper's sequential inference, as read here) and for twice the rows at once (parallel). Windows
and variants take turns, step by step, and plans are kept, as from the second epoch on. Printed are tokens of a
sequence, the median step, its operations and peak memory above that at rest, milliseconds and operations of one user,
users a second, and ratios (CAUSE / plain, below 1 is less); then what CAUSE at each window saves against the plain
backbone at the longest (plain / CAUSE, above 1 is a saving), beside the paper's claims, which are of equal accuracy:
time alone cannot say at which window that is; and what is CAUSE's own, planning and encoding. `--device cuda` runs on
the GPU. Needs the plugins `cause`, `hstu`, `genrank`, `losses`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import torch
from backbones import MIB, Contender, flops, timed, turns
from interleaving import ITEMS, acting
from shapes import categories_of

from benchbase.data.batches import ScoreBatch
from benchbase.data.batches.plans import Plans
from benchbase.registry import Registry
from benchbase.specs import LayoutConfig
from benchbase.testing.build import make_experiment
from benchbase.testing.world import World

CATEGORIES, MOST = 18, 3
BUCKETS, SIZE = 8, 32
"""V and G of the paper."""
LAYOUTS = {"hstu": LayoutConfig(kind="interleaved", user_token=True),
           "genrank": LayoutConfig(kind="stacked", user_token=True)}


@dataclass(frozen=True)
class Cost:
    """Tokens of a sequence, seconds and operations of a training step, peak bytes, seconds and operations of one user,
    users a second.
    """

    tokens: float
    step: float
    compute: int
    memory: int
    one: float
    one_compute: int
    users: float

    def line(self, name: str) -> str:
        return (f"{name:<10}{self.tokens:7,.0f} {self.step * 1000:9,.0f} {self.compute / 1e9:9.2f} "
                f"{self.memory / MIB:8,.0f} {self.one * 1000:10.2f} {self.one_compute / 1e9:9.3f} {self.users:9.1f}")

    def over(self, other: "Cost") -> str:
        """Ratios to another: step, its operations, memory, one user, its operations, a user among many."""
        pairs = ((self.step, other.step), (self.compute, other.compute), (self.memory, max(other.memory, 1)),
                 (self.one, other.one), (self.one_compute, other.one_compute), (other.users, self.users))
        return "".join(f"{a / b:7.2f}" for a, b in pairs)


def users_with_history(users: int, length: int) -> World:
    """Sequences of one length that know actions and times, of items with categories."""
    world = timed(acting(users, length))
    categories = categories_of(ITEMS, CATEGORIES, MOST)
    return World(world.interactions, replace(world.catalogue, categories={"genre": categories}))


def contenders(backbone: str, world: World, args: argparse.Namespace) -> dict[str, Contender]:
    """Every window, plain and with CAUSE."""
    registry, made = Registry.load(), {}
    sizes = {"width": args.width, "layers": args.layers, "heads": args.heads}
    cause = (registry.get("compressor", "cause"), {"buckets": BUCKETS, "items": SIZE, "budget": args.budget})
    for window in args.windows:
        for name, compressor in (("plain", None), ("cause", cause)):
            made[f"{window} {name}"] = Contender(make_experiment(
                (registry.get("backbone", backbone), sizes), objectives=[registry.get("objective", "softmax")],
                compressor=compressor, layout=LAYOUTS[backbone], world=world,
                protocol={"split": "leave_one_out", "window": window},
                train={"batch": args.rows, "buckets": 1, "patience": 0, "threads": args.threads,
                       "device": args.device}))
    return made


def to_score(contender: Contender, users: int) -> ScoreBatch:
    """The test events of so many users, as a ranking asks for them."""
    assert contender.made.feed is not None
    events = contender.made.data.split.test_events[:users]
    return next(contender.made.feed.score_batches(events, users))


def score(contender: Contender, users: int) -> torch.Tensor:
    """Scores of all items for so many users, from the events on: batch, states, scores."""
    model, device = contender.made.model, contender.made.device
    assert model is not None
    chunk = to_score(contender, users)
    batch, targets = chunk.batch.to(device), chunk.targets.to(device)
    with torch.inference_mode():
        output = model.output(model.encode(batch, "score"), batch, targets, "score")
        return output.scorer.scores(output.states)


def batch_made(contender: Contender, rows: int, users: int = 0, cold: bool = False) -> None:
    """The data side of a training step, or of scoring so many users: with the plans that are kept, or with none."""
    feed = contender.made.feed
    assert feed is not None
    if cold and feed.plans is not None:
        feed.plans = Plans(feed.plans.compressor)
    if users:
        to_score(contender, users)
    else:
        next(feed.train_batches(1, rows, 1))


def encode(contender: Contender, rows: int) -> Callable[[], None]:
    """The tokens of a training batch's plan, made and gone back through."""
    feed, model = contender.made.feed, contender.made.model
    assert feed is not None and model is not None and model.compressor is not None
    compressor, embedding = model.compressor, model.embedding
    plan = next(feed.train_batches(1, rows, 1))[0].batch.plan.to(contender.made.device)

    def work() -> None:
        torch.autograd.backward(compressor.encode(plan, embedding).x.sum())

    return work


def median_turns(works: Mapping[str, Callable[[], object]], wait: Callable[[], None], steps: int) -> dict[str, float]:
    """Median seconds of each, in turns, after one that does not count."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(steps + 1):
        for name, work in works.items():
            wait()
            start = time.perf_counter()
            work()
            wait()
            spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(each[1:]) for name, each in spent.items()}


def costs(running: Mapping[str, Contender], args: argparse.Namespace) -> dict[str, Cost]:
    """Train in turns, then score in turns."""
    counted = turns(running, args.steps)
    wait = next(iter(running.values())).wait
    for each in running.values():
        assert each.made.model is not None
        each.made.model.eval()
    one = median_turns({name: partial(score, each, 1) for name, each in running.items()}, wait, 3 * args.steps)
    many = median_turns({name: partial(score, each, 2 * args.rows) for name, each in running.items()}, wait, args.steps)
    return {
        name: Cost(each.tokens[-1] / args.rows, statistics.median(each.spent), counted[name], each.peak, one[name],
                   flops(partial(score, each, 1)), 2 * args.rows / many[name])
        for name, each in running.items()
    }


def show(found: Mapping[str, Cost], windows: list[int]) -> None:
    longest = found[f"{max(windows)} plain"]
    print(f"{'':<10}{'':>7} {'training step':>28} {'one user':>20} {'users':>9}   CAUSE / plain of the same window")
    print(f"{'window':<10}{'tokens':>7} {'ms':>9} {'GFLOP':>9} {'MiB':>8} {'ms':>10} {'GFLOP':>9} {'a second':>9}"
          f"   {'step':>7}{'FLOP':>7}{'MiB':>7}{'one':>7}{'FLOP':>7}{'many':>7}")
    for window in windows:
        plain, cause = found[f"{window} plain"], found[f"{window} cause"]
        print(plain.line(f"{window} plain"))
        print(f"{cause.line(f'{window} cause')}   {cause.over(plain)}")
    print(f"plain at {max(windows)} / CAUSE, times less: step, FLOP, MiB; one user, FLOP; many users")
    for window in windows:
        print(f"{window:<10}{longest.over(found[f'{window} cause'])}")
    print("the paper, at equal accuracy: compute up to 6, one user (sequential) up to 8, many (parallel) up to 3.4")


def show_own(running: Mapping[str, Contender], found: Mapping[str, Cost], args: argparse.Namespace) -> None:
    """What is CAUSE's own: the data side with and without plans at hand, and the tokens."""
    print(f"{'CAUSE, ms':<10}{'batch of plain':>16}{'plans kept':>12}{'cold':>9}{'encode':>9}"
          f"{'share: cold':>14}{'encode':>9}{'one user kept':>16}{'cold':>9}")
    for window in args.windows:
        plain, cause = running[f"{window} plain"], running[f"{window} cause"]
        spent = median_turns({
            "plain": partial(batch_made, plain, args.rows), "cold": partial(batch_made, cause, args.rows, cold=True),
            "kept": partial(batch_made, cause, args.rows), "encode": encode(cause, args.rows),
            "one cold": partial(batch_made, cause, args.rows, 1, cold=True),
            "one kept": partial(batch_made, cause, args.rows, 1),
        }, cause.wait, 3 * args.steps)
        ms, step = {name: 1000 * each for name, each in spent.items()}, found[f"{window} cause"].step
        print(f"{window:<10}{ms['plain']:16.2f}{ms['kept']:12.2f}{ms['cold']:9.2f}{ms['encode']:9.2f}"
              f"{(spent['cold'] - spent['plain']) / step:14.1%}{spent['encode'] / step:9.1%}"
              f"{ms['one kept']:16.2f}{ms['one cold']:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--backbones", nargs="+", choices=tuple(LAYOUTS), default=list(LAYOUTS))
    for name, default in {"rows": 16, "steps": 5, "history": 512, "width": 64, "layers": 3, "heads": 8,
                          "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--budget", choices=("total", "extra"), default="total")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # two batches of users, so that every plan is kept before a step counts; two events of each are held out
    world = users_with_history(2 * args.rows, max(args.windows) + args.history + 2)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"threads {args.threads}"
    for backbone in args.backbones:
        running = contenders(backbone, world, args)
        print(f"{backbone}, {LAYOUTS[backbone].kind}: {args.rows} rows, width {args.width}, {args.layers} layers, "
              f"{args.heads} heads, V={BUCKETS}, G={SIZE}, budget {args.budget}, {where}")
        found = costs(running, args)
        show(found, args.windows)
        show_own(running, found, args)


if __name__ == "__main__":
    main()
