"""Ranking: score every evaluated event, filter, and count what stands above the target.

Only counts leave this module; every metric follows from them, and no plugin can touch them.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import metrics
from ..assemble import Experiment, settled
from ..data import TRAIN
from ..data.batches import Feed
from ..data.sequences import Rows, gather, score_rows
from ..errors import RunError
from ..nn import Objective
from .forward import ROWS, autocast, read_whole, when

RANK_BYTES = 256 * 2**20
"""Memory for the score matrices of one chunk; larger catalogues get fewer rows."""

BYTES_PER_SCORE = 32
"""Held per row and item, at most: two matrices of eight-byte scores or terms, their sum, a copy for the top."""

PAST_EVENTS = 2**20
"""Earlier events held at a time, at most, while looking for targets seen before."""


Watcher = Callable[[np.ndarray, Tensor, Tensor | None], None]
"""Shown each chunk as it is ranked: which events, places in the `Ranking`; their scores; their states, if they have."""


@dataclass(frozen=True)
class Ranking:
    """What became of every evaluated event, in the order of the interactions.

    `user`, `event` (n,) int32: the row of the prepared data and the index in the user's own sequence;
    `above`, `tied`, `candidates` (n,) int32: other candidates with a higher and an equal score, and all
    candidates with the target; `domain` (n,) int16 of the target. `top_items` (n, K) int32 and `top_scores`
    (n, K) float32 are empty at K = 0. `facts`: events left out, cold share.
    """

    user: np.ndarray
    event: np.ndarray
    above: np.ndarray
    tied: np.ndarray
    candidates: np.ndarray
    domain: np.ndarray
    top_items: np.ndarray
    top_scores: np.ndarray
    facts: dict[str, Any]
    seconds: float

    def __len__(self) -> int:
        return len(self.user)

    def user_values(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """The users, ascending, and each one's mean of a metric over their events."""
        return metrics.user_values(metrics.parse(metric), self.user, self.above, self.tied, self.candidates)


@dataclass(frozen=True)
class Seen:
    """Items filtered from the ranking, without repeats: `item[i]` belongs to row `row[i]`, both (m,) int64."""

    row: np.ndarray
    item: np.ndarray


@dataclass(frozen=True)
class Counts:
    """Per row (b,): other candidates above and tied with the target, candidates in all, top K items and scores."""

    above: Tensor
    tied: Tensor
    candidates: Tensor
    top_items: Tensor
    top_scores: Tensor


def count(scores: Tensor, target: Tensor, seen: Seen, allowed: Tensor | None = None, top_k: int = 0) -> Counts:
    """Count candidates above and tied with each target; exact, whatever the chunk.

    scores (b, n_items), column j is item j + 1; target (b) item ids, none of them in `seen`; allowed (n_items)
    or (b, n_items) bool, None for all. A target that is not allowed is a miss: all candidates stand above it.
    Errors: `RunError` where a score is not finite.
    """
    low, high = torch.aminmax(scores)
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise RunError("ranking: a score is not finite (NaN or infinite). Expected finite scores for every item.")
    column = (target - 1)[:, None]
    goal = scores.gather(1, column)
    row, item = (torch.from_numpy(each).to(scores.device) for each in (seen.row, seen.item - 1))
    out, out_goal = scores[row, item], goal[row, 0]
    higher, equal, counted = out > out_goal, out == out_goal, torch.ones_like(row)
    open_to = torch.full((len(scores),), scores.shape[1], device=scores.device)
    if allowed is not None:
        open_to = allowed.sum(dim=-1).expand(len(scores))
        allowed = allowed.expand(scores.shape)
        inside = allowed[row, item]
        higher, equal, counted = higher & inside, equal & inside, inside.to(row.dtype)

    def less_seen(counts: Tensor, flags: Tensor) -> Tensor:
        return counts.index_add(0, row, flags.to(counts.dtype), alpha=-1)

    above, tied = _above_and_tied(scores, goal, allowed)
    above, tied, candidates = less_seen(above, higher), less_seen(tied, equal) - 1, less_seen(open_to, counted)
    if allowed is not None:
        hit = allowed.gather(1, column).squeeze(1)
        above, tied = torch.where(hit, above, candidates), torch.where(hit, tied, 0)
    return Counts(above, tied, candidates, *_top(scores, row, item, allowed, top_k))


def _above_and_tied(scores: Tensor, goal: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
    """How many allowed scores of each row are higher than the goal (b, 1), and how many equal it, both (b) int64."""
    if scores.device.type == "cpu":
        return _rows_above_and_tied(scores.numpy(), goal.numpy(), None if allowed is None else allowed.numpy())
    higher, equal = scores > goal, scores == goal
    if allowed is not None:
        higher, equal = higher & allowed, equal & allowed
    return higher.sum(dim=1), equal.sum(dim=1)


def _rows_above_and_tied(scores: np.ndarray, goal: np.ndarray, allowed: np.ndarray | None) -> tuple[Tensor, Tensor]:
    """The same on the CPU, row by row: flags that stay in cache are counted several times faster than a matrix."""
    flags = np.empty(scores.shape[1], bool)
    found = np.empty((2, len(scores)), np.int64)
    for row in range(len(scores)):
        for kind, compare in enumerate((np.greater, np.equal)):
            compare(scores[row], goal[row], out=flags)
            if allowed is not None:
                flags &= allowed[row]
            found[kind, row] = np.count_nonzero(flags)
    above, tied = torch.from_numpy(found)
    return above, tied


def _top(scores: Tensor, row: Tensor, item: Tensor, allowed: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """The k candidates with the highest scores: ids and scores (b, k); id 0 where there are fewer."""
    k = min(k, scores.shape[1])
    if k == 0:
        return torch.zeros(len(scores), 0, dtype=torch.int64), torch.zeros(len(scores), 0)
    open_scores = scores.clone() if allowed is None else scores.masked_fill(~allowed, float("-inf"))
    open_scores[row, item] = float("-inf")
    top, index = open_scores.topk(k, dim=1)
    return torch.where(torch.isinf(top), 0, index + 1), top


def rank(experiment: Experiment, part: str, top_k: int = 0, watch: Watcher | None = None) -> Ranking:
    """Score and count every evaluated event of a part, `valid`, `test` or `retained`; `watch` is shown each chunk.

    Errors: `RunError` where scores are not finite or have the wrong shape.
    """
    start, watched = time.perf_counter(), 0.0
    judge = Judge(experiment, part, top_k)
    with settled(experiment.suite.train.threads), torch.inference_mode():
        score = _recommender_scores if experiment.model is None else _model_scores
        for index, scores, states in score(experiment, judge):
            judge.add(index, scores)
            if watch is not None:
                began = time.perf_counter()
                watch(index, scores, states)
                watched += time.perf_counter() - began
    return judge.ranking(read_whole(experiment, judge.events), time.perf_counter() - start - watched)


def ranked_events(experiment: Experiment, part: str) -> np.ndarray:
    """The events of a part that `rank` ranks, positions in the interactions (n,) int64; known before any training.

    Of a stream those of all its periods, each with the items known when it begins.
    """
    stream = experiment.data.split.stream
    if part != "test" or stream is None:
        events: np.ndarray = Judge(experiment, part, 0).events
        return events
    return np.sort(np.concatenate([Judge(when(experiment, period), part, 0).events
                                   for period in range(stream.n_periods)]))


class Judge:
    """The protocol's side of ranking: which events, in the order of a `Ranking`, which candidates, what is filtered."""

    def __init__(self, experiment: Experiment, part: str, top_k: int):
        data, protocol = experiment.data, experiment.suite.protocol
        self.interactions, self.catalogue = data.prepared.interactions, data.prepared.catalogue
        self.protocol, self.top_k = protocol, min(top_k, self.catalogue.n_items)
        events = data.split.events(part)
        self.rows = score_rows(self.interactions, events, protocol.window)
        filtered = self._target_is_seen(events)
        self.left_out = int(filtered.sum())
        self.known = np.zeros(self.catalogue.n_items + 1, bool)
        self.known[self.interactions.item[data.split.part == TRAIN]] = True
        self.events, self.rows = events[~filtered], self.rows[~filtered]
        lonely = self._without_candidates()
        self.without_candidates = int(lonely.sum())
        self.events, self.rows = self.events[~lonely], self.rows[~lonely]
        self.target = self.interactions.item[self.events].astype(np.int64)
        n = len(self.events)
        self.above, self.tied, self.candidates = (np.zeros(n, np.int32) for _ in range(3))
        self.top_items = np.zeros((n, self.top_k), np.int32)
        self.top_scores = np.zeros((n, self.top_k), np.float32)

    def chunk_rows(self) -> int:
        """Rows whose score matrices stay inside the memory budget."""
        return max(1, min(ROWS, RANK_BYTES // (self.catalogue.n_items * BYTES_PER_SCORE)))

    def _seen_rows(self, rows: Rows) -> tuple[np.ndarray, np.ndarray] | None:
        """Where the filtered items of each row lie, or None where nothing is filtered."""
        kind = self.protocol.filter_seen
        return None if kind == "none" else (rows.first if kind == "history" else rows.start, rows.stop)

    def seen(self, rows: Rows) -> Seen:
        """The items filtered from each row's ranking."""
        bounds = self._seen_rows(rows)
        if bounds is None:
            return Seen(np.zeros(0, np.int64), np.zeros(0, np.int64))
        events = gather(self.interactions, *bounds)
        size = self.catalogue.n_items + 1
        pairs = np.sort(events.row * size + events.item)
        return Seen(*np.divmod(pairs[np.diff(pairs, prepend=-1) != 0], size))

    def _target_is_seen(self, events: np.ndarray) -> np.ndarray:
        """Events whose target would be filtered, (n,) bool: they cannot be ranked."""
        out = np.zeros(len(events), bool)
        bounds = self._seen_rows(self.rows)
        if bounds is None:
            return out
        first, stop = bounds
        pieces = np.cumsum(stop - first) // PAST_EVENTS
        for rows in np.split(np.arange(len(events)), np.flatnonzero(np.diff(pieces)) + 1):
            past = gather(self.interactions, first[rows], stop[rows])
            hits = past.item == self.interactions.item[events[rows]][past.row]
            out[rows[past.row[hits]]] = True
        return out

    def _without_candidates(self) -> np.ndarray:
        """Events (n,) bool whose user has seen every train item and whose target is none: nothing is left to rank."""
        out = np.zeros(len(self.events), bool)
        if self.protocol.candidates != "train_items":
            return out
        cold = np.flatnonzero(~self.known[self.interactions.item[self.events]])
        for rows in np.split(cold, np.arange(ROWS, len(cold), ROWS)):
            seen = self.seen(self.rows[rows])
            n_seen = np.bincount(seen.row[self.known[seen.item]], minlength=len(rows))
            out[rows] = n_seen == self.known.sum()
        return out

    def allowed(self, target: np.ndarray) -> Tensor | None:
        kind = self.protocol.candidates
        if kind == "catalogue":
            return None
        if kind == "train_items":
            return torch.from_numpy(self.known[1:])
        domain = self.catalogue.domain
        assert domain is not None, "assemble refuses candidates: domain without domains"
        return torch.from_numpy(domain[1:][None, :] == domain[target][:, None])

    def add(self, index: np.ndarray, scores: Tensor) -> None:
        """Count one chunk: scores (b, n_items) of the evaluated events at `index`."""
        wanted = (len(index), self.catalogue.n_items)
        if tuple(scores.shape) != wanted:
            raise RunError(f"ranking: scores have shape {tuple(scores.shape)}. Expected {wanted}, one column per item.")
        target = self.target[index]
        allowed = self.allowed(target)
        if allowed is not None:
            allowed = allowed.to(scores.device)
        goal = torch.from_numpy(target).to(scores.device)
        counts = count(scores, goal, self.seen(self.rows[index]), allowed, self.top_k)
        for name in ("above", "tied", "candidates", "top_items", "top_scores"):
            getattr(self, name)[index] = getattr(counts, name).cpu().numpy()

    def ranking(self, more: dict[str, int], seconds: float) -> Ranking:
        catalogue, n = self.catalogue, len(self.events)
        domain = np.full(n, -1) if catalogue.domain is None else catalogue.domain[self.target]
        facts = {
            "evaluated": n,
            "left_out_target_seen": self.left_out,
            "left_out_without_candidates": self.without_candidates,
            "cold_share": float((~self.known[self.target]).mean()) if n else None,
            "tied_share": float((self.tied > 0).mean()) if n else None,
            **more,
        }
        return Ranking(
            self.rows.user.astype(np.int32), (self.events - self.rows.first).astype(np.int32), self.above, self.tied,
            self.candidates, domain.astype(np.int16), self.top_items, self.top_scores, facts, seconds,
        )


def _model_scores(experiment: Experiment, judge: Judge) -> Iterator[tuple[np.ndarray, Tensor, Tensor | None]]:
    assert experiment.feed is not None
    return model_scores(experiment, experiment.feed, judge.events, judge.chunk_rows())


def model_scores(experiment: Experiment, feed: Feed, events: np.ndarray, rows: int
                 ) -> Iterator[tuple[np.ndarray, Tensor, Tensor | None]]:
    """Scores of all items by the sequence model before these events of a feed, and the states that they are of, up to
    `rows` of like length together: places among the events, scores, states.
    """
    model = experiment.model
    assert model is not None
    model.eval()
    items = model.items("score")
    vectors = model.scorer.vectors(source=items)
    # a score term makes its matrix for all rows that were encoded together
    terms = any(type(o).score_term is not Objective.score_term for o in model.objectives.values())
    for chunk in feed.score_batches(events, rows if terms else ROWS):
        batch, targets = chunk.batch.to(experiment.device), chunk.targets.to(experiment.device)
        with autocast(experiment):
            encoded = model.encode(batch, "score", items=items)
        output = model.output(encoded, batch, targets, "score", vectors)
        for start in range(0, len(chunk.index), rows):
            some = slice(start, start + rows)
            bound = output.scorer.rows(some)
            states = output.states[some].float()
            yield chunk.index[some], bound.scores(states), states


def _recommender_scores(experiment: Experiment, judge: Judge) -> Iterator[tuple[np.ndarray, Tensor, Tensor | None]]:
    """Scores of all items by a whole recommender, which has no states, from all earlier events of each user."""
    times = judge.interactions.timestamp
    last_known = judge.protocol.query_time == "last"
    rows = judge.chunk_rows()
    for start in range(0, len(judge.events), rows):
        index = np.arange(start, min(start + rows, len(judge.events)))
        at = judge.rows[index]
        histories = gather(judge.interactions, at.first, at.stop)
        asked = judge.events[index] - (1 if last_known else 0)
        when = np.zeros(len(index), np.int64) if times is None else times[asked]
        scores = np.asarray(experiment.recommender.scores(histories, when))
        if scores.dtype.kind not in "fiub":
            raise RunError(f"ranking: scores are {scores.dtype}. Expected real numbers, one for every item.")
        kind = scores.dtype if scores.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        yield index, torch.from_numpy(np.array(scores, dtype=kind)), None  # a copy: theirs may be read-only, or reused
