"""Feed: from rows of interactions to Batch and Targets, for training and for scoring."""

import itertools
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...errors import PluginError
from ...specs import Negatives
from ..catalogue import Catalogue
from ..draws import derive_seed, event_keys, hidden_events, mix, shuffled
from ..interactions import Interactions
from ..sequences import Rows, action_rows, gather, item_counts, learned_rows, score_rows, train_rows
from ..splits import Split
from .columns import Columns, moved
from .negatives import NegativeDraws
from .plans import Plan, Planner, Plans
from .tensors import Batch, History, Targets

EXAMPLES = 64
"""Single targets that share negatives, where an objective asks for those of a batch."""


@dataclass(frozen=True)
class FeedConfig:
    """What decides how rows become batches; all of it belongs to the protocol or the training of the suite.

    `stride`: events between the ends of a user's train windows; None is the last window alone. `candidates`: how many
    last events of a row have their actions asked for together, 0 for one at a time.
    """

    window: int
    masked: bool = False
    query_time: Literal["next", "last"] = "next"
    supervise: Literal["all", "last", "candidates"] = "all"
    mask_rate: float = 0.2
    seed: int = 0
    negatives: Mapping[str, Negatives] = field(default_factory=dict)
    stride: int | None = None
    task: Literal["next_item", "action"] = "next_item"
    candidates: int = 0


@dataclass(frozen=True)
class TrainBatch:
    """Rows of one length group with their targets; `negatives` by objective, drawn for these targets."""

    batch: Batch
    targets: Targets
    negatives: Mapping[str, Targets]

    def targets_for(self, objective: str) -> Targets:
        """The targets with the negatives that this objective asked for."""
        return self.negatives.get(objective, self.targets)


@dataclass(frozen=True)
class ScoreBatch:
    """Rows to score: `index` (P,) says which evaluated event each target is."""

    batch: Batch
    targets: Targets
    index: np.ndarray


class Feed:
    """Makes every Batch and Targets of one run.

    What it draws depends on (seed, epoch, user, event) alone, or on the step where a batch shares it. Where train
    windows overlap an event meets the same negatives in each, but is hidden in each on its own.
    """

    def __init__(self, interactions: Interactions, catalogue: Catalogue, split: Split, config: FeedConfig,
                 compressor: Planner | None = None, owner: np.ndarray | None = None, learn: np.ndarray | None = None):
        """`owner` (n_users,): whose embedding the users of these interactions have, where it is not their own.

        `learn` (n_events,) bool: the events to learn from, of each user some that follow each other, where they are not
        those of the windows of the train part; all are predicted, in windows end to end.
        """
        self.interactions, self.catalogue, self.config = interactions, catalogue, config
        self.plans, self.owner, self.learn = None if compressor is None else Plans(compressor), owner, learn
        self.unread = 0 if config.masked or config.task == "action" else 1
        in_place = not self.unread
        if learn is not None:
            newest, first = learned_rows(interactions, learn, config.window, in_place)
            self.rows = self._end_to_end(newest, first - self.unread)
        elif self.plans is not None and config.stride == config.window:
            newest = train_rows(interactions, split, config.window, in_place)
            self.rows = self._end_to_end(newest, newest.first)
        else:
            self.rows = train_rows(interactions, split, config.window, in_place, config.stride)
        counts = item_counts(interactions, split, catalogue.n_items)
        self._draws = NegativeDraws(config.negatives, counts)

    @property
    def _compressor(self) -> Planner | None:
        return None if self.plans is None else self.plans.compressor

    def n_batches(self, size: int) -> int:
        """Training steps in an epoch at `size` rows a batch."""
        return -(-len(self.rows) // size)

    def train_batches(self, epoch: int, size: int, buckets: int) -> Iterator[list[TrainBatch]]:
        """One list per step: the rows of a batch, sorted by length and cut into up to `buckets` groups."""
        order = shuffled(len(self.rows), derive_seed(self.config.seed, "shuffle", epoch))
        for step, start in enumerate(range(0, len(order), size)):
            rows = self.rows[order[start : start + size]]
            by_length = self._by_length(rows)
            groups = np.array_split(by_length, min(buckets, len(by_length)))
            yield self._with_in_batch([self._train_batch(rows[group], epoch, step) for group in groups], epoch, step)

    def _with_in_batch(self, groups: list[TrainBatch], epoch: int, step: int) -> list[TrainBatch]:
        """The groups of a step with negatives out of its targets, where an objective asks for such."""
        more = self._draws.of_step([group.targets for group in groups], self.config.seed, epoch, step)
        return [replace(group, negatives={**group.negatives, **drawn})
                for group, drawn in zip(groups, more, strict=True)]

    def learning(self, split: Split, learn: np.ndarray, seed: int) -> "Feed":
        """A feed of the same form for these events alone, `learn` (n_events,) bool, with draws of its own."""
        return Feed(self.interactions, self.catalogue, split, replace(self.config, seed=seed), self._compressor,
                    self.owner, learn)

    def examples(self, seed: int) -> Iterator[TrainBatch]:
        """Single targets without end, drawn evenly from the windows' events that may be learned from; each asks of what
        was before it in its window, whatever of a window training asks for.

        One row and one target each, with negatives; those of a batch are drawn for `EXAMPLES` at a time.
        """
        alone = copy(self)
        alone.config = replace(self.config, supervise="last", seed=seed)
        random, ends = np.random.default_rng(seed), np.cumsum(self.rows.stop - self.rows.start - self.unread)
        for step in itertools.count():
            drawn = random.integers(0, ends[-1], EXAMPLES)
            at = np.searchsorted(ends, drawn, side="right")
            target = self.rows.stop[at] - (ends[at] - drawn)
            at, target = at[self._learned(target)], target[self._learned(target)]
            rows = Rows(self.rows.user[at], self.rows.first[at], self.rows.start[at], target + 1)
            if not len(rows):  # few events of long windows may be learned from
                continue
            singles = (rows[place : place + 1] for place in range(len(rows)))
            yield from alone._with_in_batch([alone._train_batch(single, 0, step) for single in singles], 0, step)

    def read(self, events: np.ndarray) -> Rows:
        """What is read before each evaluated event (n,) of the next-item task; a compressor may read more."""
        config = self.config
        return score_rows(self.interactions, events, config.window - 1 if config.masked else config.window)

    def over(self, interactions: Interactions, owner: np.ndarray) -> "Feed":
        """A feed of the same form that scores events of other interactions, of users (n,) of whom each is `owner`."""
        other = copy(self)
        other.interactions, other.owner = interactions, owner
        return other

    def score_batches(self, events: np.ndarray, size: int) -> Iterator[ScoreBatch]:
        """The evaluated events (n,), positions in the interactions, in chunks of like length."""
        config = self.config
        if config.task == "action":
            yield from self._score_actions(events, size)
            return
        rows = self.read(events)
        order = self._by_length(rows)
        for start in range(0, len(order), size):
            index = order[start : start + size]
            yield self._score_batch(rows[index], index)

    def _end_to_end(self, newest: Rows, since: np.ndarray) -> Rows:
        """The rows of windows end to end over what is kept: events that give way in one are the last of the one before.

        `newest`: each user's last row; `since` (B,): where the events that are read must begin, at the latest. What a
        masked row hides changes from epoch to epoch; here it hides nothing.
        """
        unread = self.unread
        found, rows = [newest], newest
        while len(rows):
            hidden = np.zeros((len(rows), int((rows.stop - rows.start).max())), bool) if self.config.masked else None
            kept, _, _ = self._displace(rows, rows.stop - unread, self.config.window, hidden, self._asked(rows))
            more = kept.start > since
            first, stop, since = rows.first[more], kept.start[more] + unread, since[more]
            rows = Rows(rows.user[more], first, np.maximum(first, stop - self.config.window - unread), stop)
            found.append(rows)
        whole = Rows(*(np.concatenate([getattr(each, name) for each in found])
                       for name in ("user", "first", "start", "stop")))
        return whole[np.argsort(whole.user, kind="stable")]

    def _asked(self, rows: Rows) -> np.ndarray:
        """How many last events of each row have their actions hidden and asked for, where not all are asked for."""
        if self.config.task != "action":
            return np.zeros(len(rows), np.int64)
        most = {"all": 0, "last": 1, "candidates": self.config.candidates}[self.config.supervise]
        asked: np.ndarray = np.minimum(rows.stop - rows.start, most)
        return asked

    def _by_length(self, rows: Rows) -> np.ndarray:
        """The order of rows by length and, where tokens stand for the history, by how much of it there is.

        Rows of one batch are padded with tokens to the most of any, and with events: where all have as many tokens, as
        long histories mostly have, and so as many events, nothing is padded. A compressor without tokens moves no row.
        """
        length = rows.stop - rows.start
        tokens = 0 if self.plans is None else self.plans.compressor.max_tokens
        return np.lexsort((rows.start - rows.first, length) if tokens else (length,))

    def _score_actions(self, events: np.ndarray, size: int) -> Iterator[ScoreBatch]:
        candidates = self.config.candidates
        rows, count = action_rows(self.interactions, events, self.config.window, max(candidates, 1))
        first = np.cumsum(count) - count
        order = self._by_length(rows)
        for start in range(0, len(order), size):
            some = order[start : start + size]
            kept, batch = self._asking(rows[some], count[some], candidates > 0)
            targets = self._action_targets(kept, batch.hide_action)
            place = np.arange(len(targets)) - np.repeat(np.cumsum(count[some]) - count[some], count[some])
            yield ScoreBatch(batch, targets, np.repeat(first[some], count[some]) + place)

    def _train_actions(self, rows: Rows) -> TrainBatch:
        """All actions of the rows are asked for, or those of their last events, which are then hidden."""
        asked = self._asked(rows)
        kept, batch = self._asking(rows, asked, self.config.supervise == "candidates")
        asks = batch.hide_action if asked.any() else batch.valid
        learned = self._learned(kept.start[:, None] + np.arange(asks.shape[1]))
        return TrainBatch(batch, self._action_targets(kept, asks & torch.from_numpy(learned)), {})

    def _asking(self, rows: Rows, asked: np.ndarray, candidates: bool) -> tuple[Rows, Batch]:
        """The rows as the compressor leaves them, with the actions of the last `asked` (B,) events of each hidden."""
        rows, plan, _ = self._displace(rows, rows.stop, self.config.window, asked=asked)
        columns = self._columns(rows.start, rows.stop)
        return rows, self._batch(rows, columns, None, None, plan, columns.last(asked), candidates)

    def _action_targets(self, rows: Rows, asked: Tensor) -> Targets:
        """The labels of the events in `asked` (B, T), of those actions alone that can be predicted."""
        row, event = np.nonzero(asked.numpy())
        return self._targets(rows.start, row, event)

    def _learned(self, index: np.ndarray) -> np.ndarray:
        """Whether events, positions of any shape, may be learned from; those past the end may not."""
        if self.learn is None:
            return np.ones(index.shape, bool)
        found: np.ndarray = self.learn[np.minimum(index, len(self.learn) - 1)] & (index < len(self.learn))
        return found

    def _train_batch(self, rows: Rows, epoch: int, step: int) -> TrainBatch:
        if self.config.task == "action":
            return self._train_actions(rows)
        masked, unread = self.config.masked, self.unread
        # the last event of a row is predicted and never read, unless it is masked in place
        hidden = self._hidden(rows, self._columns(rows.start, rows.stop), epoch) if masked else None
        rows, plan, hidden = self._displace(rows, rows.stop - unread, self.config.window, hidden)
        columns = self._columns(rows.start, rows.stop - unread)
        batch = self._batch(rows, columns, None if masked else rows.stop - 1, hidden, plan)
        targets = self._train_targets(rows, columns, hidden)
        return TrainBatch(batch, targets, self._draws.of_rows(rows, targets, self.config.seed, epoch, step))

    def _score_batch(self, rows: Rows, index: np.ndarray) -> ScoreBatch:
        appended = 1 if self.config.masked else 0
        rows, plan, _ = self._displace(rows, rows.stop, self.config.window - appended)
        # masked: one hidden event more, the target's place, of which only the time is known
        columns = self._columns(rows.start, rows.stop + appended)
        hidden = np.arange(columns.width) == (columns.lengths - 1)[:, None] if appended else None
        batch = self._batch(rows, columns, None if appended else rows.stop, hidden, plan)
        return ScoreBatch(batch, self._targets(rows.start, np.arange(len(rows)), columns.lengths - appended), index)

    def _displace(self, rows: Rows, stop: np.ndarray, budget: int, hidden: np.ndarray | None = None,
                  asked: np.ndarray | None = None) -> tuple[Rows, Plan | None, np.ndarray | None]:
        """Ask the compressor what to keep of the history, and drop the oldest window events that give way.

        It sees of the window what the Batch will show: no item, action or unknown time of a `hidden` (B, T) event, no
        action of the last `asked` (B,), which stay. A row may lose all its hidden events; it then has no target, since
        the plan has seen what is left.
        """
        if self.plans is None:
            return rows, None, hidden
        asked = np.zeros_like(rows.user) if asked is None else asked
        plan = self._plan(rows, stop, budget, hidden, asked)
        start = np.minimum(rows.start + plan.displaced, np.maximum(stop - np.maximum(asked, 1), rows.start))
        self._check_times(plan, start)
        kept = Rows(rows.user, rows.first, start, rows.stop)
        if hidden is not None:
            hidden = moved(hidden, start - rows.start, stop - start)
        return kept, plan, hidden

    def _plan(self, rows: Rows, stop: np.ndarray, budget: int, hidden: np.ndarray | None, asked: np.ndarray) -> Plan:
        """The plan of rows; it is kept where the same rows will look the same another time."""
        assert self.plans is not None
        plans, compressor = self.plans, self.plans.compressor

        def ask(some: np.ndarray) -> Plan:
            columns = self._columns(rows.start[some], stop[some])
            hide = np.zeros_like(columns.real) if hidden is None else hidden[some, : columns.width]
            window = columns.shown(hide, columns.last(asked[some]), self.config.query_time)
            history = gather(self.interactions, rows.first[some], rows.start[some])
            made: Plan = compressor.plan(history, window, budget)
            return made

        if hidden is not None:  # others are hidden in each epoch
            return plans.checked(ask(np.arange(len(rows))), len(rows))
        keys = zip(rows.start.tolist(), stop.tolist(), asked.tolist(), itertools.repeat(budget))
        return plans.of(list(keys), ask)

    def _check_times(self, plan: Plan, start: np.ndarray) -> None:
        """Refuse a plan of tokens from after the first event they stand before."""
        times = self.interactions.timestamp
        if times is None:
            return
        used = np.arange(plan.latest.shape[1]) < plan.tokens[:, None]
        row, token = np.nonzero(used & (plan.latest > times[start][:, None]))
        if len(row):
            assert self.plans is not None
            raise PluginError(f"{type(self.plans.compressor).__name__}: its plan has a token that uses time "
                              f"{plan.latest[row[0], token[0]]}, later than the first event that is kept, "
                              f"{times[start[row[0]]]}. Expected history alone.")

    def _hidden(self, rows: Rows, columns: Columns, epoch: int) -> np.ndarray:
        """Which events to hide, (B, T) bool."""
        if self.config.supervise == "last":
            return np.asarray(np.arange(columns.width) == (columns.lengths - 1)[:, None])
        keys = event_keys(derive_seed(self.config.seed, "mask", epoch), rows.user[:, None],
                          columns.index - rows.first[:, None])
        if self.config.stride is not None and self.config.stride < self.config.window:
            # an event that several windows hold is hidden in some of them and read in others
            keys = mix(keys, (rows.start - rows.first)[:, None])
        return hidden_events(keys, columns.real & self._learned(columns.index), self.config.mask_rate)

    def _columns(self, start: np.ndarray, stop: np.ndarray) -> Columns:
        return Columns(self.interactions, self.catalogue, start, stop)

    def _batch(self, rows: Rows, columns: Columns, after_last: np.ndarray | None, hidden: np.ndarray | None,
               plan: Plan | None, asked: np.ndarray | None = None, candidates: bool = False) -> Batch:
        """Tensors of the columns; `after_last` (B,) are the events whose time the last query asks for.

        The actions of the events in `asked` (B, T) are hidden; these are `candidates`, or not.
        """
        hide = np.zeros_like(columns.real) if hidden is None else hidden
        asked = np.zeros_like(hide) if asked is None else asked
        shown = columns.real & ~hide
        times = columns.times(hide, self.config.query_time)
        # an action is asked for when its event happens: the time of the next one may tell what came of it
        later = (times if self.config.task == "action"
                 else columns.query_times(times, after_last, self.config.query_time))
        history = None
        if self.plans is not None:
            events = gather(self.interactions, rows.first, rows.start)
            history = History(*map(torch.from_numpy, (events.offsets, events.item.astype(np.int64), events.timestamp)))
        return Batch(
            users=torch.from_numpy((rows.user if self.owner is None else self.owner[rows.user]).astype(np.int64)),
            items=torch.from_numpy(np.where(shown, columns.items, 0)),
            timestamps=torch.from_numpy(times),
            query_times=torch.from_numpy(np.where(hide, times, later)),  # a hidden event is asked for itself
            domains=torch.from_numpy(np.where(shown, columns.domains, -1)),
            actions=torch.from_numpy(columns.wide(self.interactions.actions) * (shown & ~asked)[..., None]),
            lengths=torch.from_numpy(columns.lengths),
            features=torch.from_numpy(columns.wide(self.interactions.features) * ~hide[..., None]),
            hide_item=torch.from_numpy(hide),
            hide_action=torch.from_numpy(hide | asked),
            candidate=torch.from_numpy(asked & candidates),
            history=history,
            plan=plan,
        )

    def _train_targets(self, rows: Rows, columns: Columns, hidden: np.ndarray | None) -> Targets:
        if hidden is not None:
            row, event = np.nonzero(hidden)
        elif self.config.supervise == "last":
            row, event = np.arange(len(rows)), columns.lengths
        else:
            row, at = np.nonzero(columns.real)
            event = at + 1
        some = self._learned(rows.start[row] + event)
        return self._targets(rows.start, row[some], event[some])

    def _targets(self, start: np.ndarray, row: np.ndarray, event: np.ndarray) -> Targets:
        position = start[row] + event
        actions = self.interactions.actions[position]
        if self.config.task == "action":
            actions = actions[:, self.interactions.labels]
        return Targets(
            task=self.config.task, row=torch.from_numpy(row), event=torch.from_numpy(event),
            item=torch.from_numpy(self.interactions.item[position].astype(np.int64)),
            actions=torch.from_numpy(actions), weights=torch.ones(len(row)),
            marks=None if self.interactions.marks is None else torch.from_numpy(self.interactions.marks[position]),
        )
