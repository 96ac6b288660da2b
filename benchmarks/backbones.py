"""Time and memory of a training step of every installed backbone, against `sasrec`, in one run.

`python benchmarks/backbones.py [BACKBONE ...] [--data FILE] [--steps 9] [--threads 2]` takes whole training steps with
the full softmax (batches of the feed, loss, gradient, optimiser) on data of 6,040 users and 3,416 items (FILE has lines
`user item`; without it data of that shape is generated; times are made up). Backbones take turns, step by step. Printed
are the median step, tokens a second without padding, peak memory above the process at rest, and the ratio of medians
(sasrec / backbone: above 1 means faster than sasrec; a masked backbone predicts fewer events in a step). A BACKBONE is
written as in a suite, `sasrec[order=original]`; without any, those of VARIANTS and whatever else is installed.
`--small` is a quick look. Needs the plugins `transformers` and `losses`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import numpy as np
import torch
from shapes import experiment, ml_1m

from benchbase.assemble import Experiment
from benchbase.config import read_part
from benchbase.data.batches import TrainBatch
from benchbase.errors import BenchbaseError
from benchbase.evaluate.flops import flop_counter
from benchbase.memory import peak_memory, reset_peak
from benchbase.nn import CombinerParameters
from benchbase.registry import Registry
from benchbase.specs import Config, Spec
from benchbase.testing.world import World
from benchbase.train.loop import trim_heap
from benchbase.train.losses import LossMaker
from benchbase.train.optimizer import make_optimizer, tag_parameters

REFERENCE = "sasrec"
VARIANTS = (REFERENCE, "sasrec[order=original]", "sasrec[order=original,attention_dropout=0.2]", "bert4rec",
            "bert4rec[order=post_norm]", "hstu", "gru4rec")
MIB = 2**20


class Contender:
    """One experiment in training, a step at a time, on the device that its suite asks for."""

    def __init__(self, made: Experiment):
        self.made = made
        self.gpu = made.device if made.device.type == "cuda" else None
        assert self.made.model is not None
        self.loss = LossMaker(self.made, self.made.model)
        self.optimizer = make_optimizer([list(self.made.model.parameters())], self.made)
        self.batches = self._batches()
        self.spent: list[float] = []
        self.tokens: list[int] = []
        self.peak = 0

    def _batches(self) -> Iterator[list[TrainBatch]]:
        feed, train = self.made.feed, self.made.suite.train
        assert feed is not None
        epoch = 0
        while True:
            epoch += 1
            yield from feed.train_batches(epoch, train.batch, train.buckets)

    def warm_up(self) -> None:
        """A step whose time does not count; its memory does, since nothing else is at work."""
        trim_heap()
        reset_peak()
        if self.gpu is not None:
            torch.cuda.reset_peak_memory_stats(self.gpu)
        at_rest = self._memory()
        self.step()
        self.peak = self._memory() - at_rest
        self.spent, self.tokens = [], []

    def _memory(self) -> int:
        """The most bytes held so far: by the process, or on the GPU."""
        return peak_memory() if self.gpu is None else torch.cuda.max_memory_allocated(self.gpu)

    def wait(self) -> None:
        """Until the GPU has done all that it was asked."""
        if self.gpu is not None:
            torch.cuda.synchronize(self.gpu)

    def _there(self, group: TrainBatch) -> TrainBatch:
        """A group on the device."""
        device = self.made.device
        negatives = {name: given.to(device) for name, given in group.negatives.items()}
        return TrainBatch(group.batch.to(device), group.targets.to(device), negatives)

    def step(self) -> None:
        self.wait()
        start, tokens = time.perf_counter(), 0
        groups = next(self.batches)
        weights = [float(group.targets.weights.sum()) for group in groups]
        self.optimizer.zero_grad(set_to_none=True)
        gathered: dict[str, torch.Tensor] = {}
        for group, weight in zip(groups, weights, strict=True):
            losses = self.loss(self._there(group))
            tokens += self.loss.tokens()
            if self.made.combiner is None:
                torch.autograd.backward(self.loss.total(losses) * (weight / sum(weights)))
                continue
            for name, loss in losses.items():
                gathered[name] = gathered.get(name, torch.zeros(())) + loss * (weight / sum(weights))
        if self.made.combiner is not None:
            self._combine(gathered)
        self.optimizer.step()
        self.wait()
        self.spent.append(time.perf_counter() - start)
        self.tokens.append(tokens)

    def _combine(self, losses: dict[str, torch.Tensor]) -> None:
        """The gradient that the combiner makes of the two losses it balances."""
        assert self.made.balance is not None and self.made.combiner is not None and self.made.model is not None
        weighted = self.loss.weigh(losses)
        other = weighted.pop(self.made.balance[1])
        tagged = tag_parameters(self.made.model)
        parameters = CombinerParameters([each.parameter for each in tagged],
                                        [each.parameter for each in tagged if each.tag == "encoder"])
        main = torch.stack(list(weighted.values())).sum()
        self.made.combiner.combine(dict(zip(self.made.balance, (main, other), strict=True)), parameters)

    def line(self, reference: float) -> str:
        median = statistics.median(self.spent)
        return (f"{median * 1000:8.0f} ms  {sum(self.tokens) / sum(self.spent):9,.0f} tokens/s  "
                f"{self.peak / MIB:6.0f} MiB  ratio {reference / median:5.2f}")


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of the products in what `work` does."""
    with flop_counter() as counter:
        work()
    return int(counter.get_total_flops())


def turns(running: Mapping[str, Contender], steps: int) -> dict[str, int]:
    """Let contenders take turns; the operations of each one's step by name.

    Operations are counted in a step of their own, of a batch as large as the others.
    """
    counted = {name: flops(each.step) for name, each in running.items()}
    for each in running.values():
        each.warm_up()
    for _ in range(steps):
        for each in running.values():
            each.step()
    return counted


def take_turns(running: Mapping[str, Contender], steps: int, reference: str, width: int = 22,
               typical: Callable[[Sequence[float]], float] = statistics.median) -> None:
    """Let contenders of one world take turns, and print each one's typical step as a ratio to the reference's."""
    counted = turns(running, steps)
    first = typical(running[reference].spent)
    for name, each in running.items():
        step = typical(each.spent)
        shown = f"{step * 1000:9.0f}" if step > 0.1 else f"{step * 1000:9.2f}"
        print(f"{name:<{width}}{shown} ms{each.peak / MIB:8.0f} MiB{each.tokens[-1]:8,} tokens   "
              f"ratio {step / first:5.2f}   {counted[name] / 1e9:7.2f} GFLOP, ratio "
              f"{counted[name] / counted[reference]:5.2f}, {counted[name] / step / 1e9:5.1f} a second")


def timed(world: World) -> World:
    """The same events an hour apart, for backbones that read time."""
    events = world.interactions
    return World(replace(events, timestamp=1_600_000_000 + 3600 * np.arange(len(events.item))),
                 replace(world.catalogue, has_time=True))


def chosen(text: str, registry: Registry, width: int) -> tuple[Spec, Config]:
    """A backbone and its parameters, as wide as asked unless the text says it. Errors: `BenchbaseError`."""
    parameters = read_part(text).plain()
    spec = registry.get("backbone", parameters.pop("name"))
    if "width" in spec.config.model_fields:
        parameters = {"width": width, **parameters}
    return spec, spec.config.model_validate(parameters)


def names(given: list[str], registry: Registry) -> list[str]:
    """The reference first, then what was asked for, or all that is known and installed."""
    known = [offer.spec.name for offer in registry.offers("backbone")]
    asked = given or [*VARIANTS, *known]
    return list(dict.fromkeys([REFERENCE, *asked]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="*", metavar="BACKBONE")
    parser.add_argument("--data", type=Path)
    for name, default in {"steps": 9, "threads": 2, "width": 64, "window": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", action="store_true", help="200 users, 300 items")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    registry, world = Registry.load(), timed(ml_1m(args.data, args.small))
    softmax = registry.get("objective", "softmax")
    contenders: dict[str, Contender | str] = {}
    for text in names(args.backbones, registry):
        try:
            backbone = chosen(text, registry, args.width)
            contenders[text] = Contender(experiment(world, backbone, softmax, args.window, threads=args.threads))
        except BenchbaseError as error:
            contenders[text] = f"left out: {error}".partition(". ")[0]
    running = [each for each in contenders.values() if isinstance(each, Contender)]
    for each in running:
        each.warm_up()
    for _ in range(args.steps):
        for each in running:
            each.step()
    first = contenders[REFERENCE]
    assert isinstance(first, Contender), first
    reference, widest = statistics.median(first.spent), max(map(len, contenders))
    for text, each in contenders.items():
        print(f"{text:<{widest}}  {each if isinstance(each, str) else each.line(reference)}")


if __name__ == "__main__":
    main()
