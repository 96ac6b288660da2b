"""Negatives: the items that objectives ask the core to draw, for given targets."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...specs import Negatives
from ..draws import derive_seed, draw_items, event_keys, make_law, mix, negatives_key, shuffled
from ..sequences import Rows
from .tensors import Targets


class NegativeDraws:
    """Draws what each objective asks for; requests that ask alike are given alike.

    What is drawn depends on (seed, epoch, user, event) alone, or on the step where a batch shares it.
    """

    def __init__(self, asked: Mapping[str, Negatives], counts: np.ndarray):
        """`asked` by objective; `counts` (n_items + 1,): train events of each item."""
        self.asked = asked
        self._laws = {request: make_law(request, counts) for request in set(asked.values())}

    def of_rows(self, rows: Rows, targets: Targets, seed: int, epoch: int, step: int) -> dict[str, Targets]:
        """The targets of rows with negatives for each objective that asks for a law of items."""
        asked = {name: request for name, request in self.asked.items() if request.law != "in_batch"}
        made = {request: self._drawn(request, rows, targets, seed, epoch, step) for request in set(asked.values())}
        return {objective: made[request] for objective, request in asked.items()}

    def of_step(self, groups: Sequence[Targets], seed: int, epoch: int, step: int) -> list[dict[str, Targets]]:
        """Each group's targets with negatives out of those of all, for each objective that asks for such.

        The pool is in order of length, row and event, so that the number of groups changes nothing.
        """
        asked = {name: request for name, request in self.asked.items() if request.law == "in_batch"}
        if not asked:
            return [{} for _ in groups]
        pool = np.concatenate([targets.item.numpy() for targets in groups])
        drawn = {}
        for request in set(asked.values()):
            key = derive_seed(negatives_key(seed, request), epoch, step)
            drawn[request] = pool[shuffled(len(pool), key)[: request.count]]
        return [{name: self._given(request, targets, drawn[request]) for name, request in asked.items()}
                for targets in groups]

    def _drawn(self, request: Negatives, rows: Rows, targets: Targets, seed: int, epoch: int, step: int) -> Targets:
        """The targets with items drawn per position, per sequence or per batch, as the request says."""
        law = self._laws[request]
        key = derive_seed(negatives_key(seed, request), epoch)
        row, positive = targets.row.numpy(), targets.item.numpy()
        if request.scope == "position":
            event = rows.start[row] + targets.event.numpy() - rows.first[row]
            avoid = None if request.keep_positive else positive
            items = draw_items(law, event_keys(key, rows.user[row], event), request.count, avoid)
        elif request.scope == "sequence":
            items = draw_items(law, mix(np.full(len(rows), key, np.uint64), rows.user), request.count)
        else:
            items = draw_items(law, mix(np.full(1, key, np.uint64), step), request.count)[0]
        return self._given(request, targets, items)

    def _given(self, request: Negatives, targets: Targets, items: np.ndarray) -> Targets:
        """The targets with these negatives and how probable the law makes them."""
        law, positive = self._laws[request], targets.item.numpy()
        log_q = law.log_p[items]
        if request.scope == "position" and not request.keep_positive:
            rest = -np.expm1(law.log_p[positive].astype(np.float64))  # 0 where there is no other item to draw
            log_q = log_q - np.log(np.where(rest > 0, rest, 1.0))[:, None].astype(log_q.dtype)
        return Targets(
            **{name: getattr(targets, name)
               for name in ("task", "row", "event", "item", "actions", "weights", "marks")},
            negatives=torch.from_numpy(items), log_q=torch.from_numpy(law.log_p[positive]),
            log_q_negatives=torch.from_numpy(log_q),
        )
