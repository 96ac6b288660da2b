"""Rules against leaks: nothing reaches a state but its own row's past, the events it may see and no label."""

import gc
import weakref
from dataclasses import replace
from unittest import SkipTest

import torch
from torch import Tensor

from .backbone_case import PHASES, BackboneCase, Situation, gradients, states_by_kind, watched
from .build import forward, train_step
from .checking import (
    check,
    clone_fields,
    copied,
    cut,
    differ,
    encode,
    no_dropout,
    padded,
    randomised,
    rewound,
    rows_of,
    same,
    states,
)


class LeakRules(BackboneCase):
    """No look-ahead, no padding, no other rows, no labels, nothing kept."""

    def test_no_look_ahead_by_value(self) -> None:
        self.only_if_causal()
        for case in self.situations():
            before, events = case.states(), torch.arange(len(case.events()))
            for event in case.events()[:-1]:
                later = (events > event) & case.batch.valid
                after = case.states(randomised(case.batch, later))
                for kind, state in before.items():
                    same(state[:, : event + 1], after[kind][:, : event + 1],
                         f"{case.name}: states {kind} events up to {event} when later ones change")
                    if bool((later & ~case.batch.hide_item).any()):
                        differ(state[:, event + 1 :], after[kind][:, event + 1 :],
                               f"{case.name}: states {kind} events later than {event} when these change")

    def test_no_look_ahead_by_gradient(self) -> None:
        self.only_if_causal()
        for case in self.situations():
            batch = watched(case.batch)
            encoded = case.encode(batch)
            for kind, state in states_by_kind(encoded).items():
                for event in case.events():
                    what = f"{case.name}: the state {kind} event {event}"
                    found = gradients(case.model, batch, encoded, state[0, event]).events[0]
                    later, own = found[event + 1 :], found[event]
                    check((later == 0).all(), f"{what} has a gradient to later ones. Expected exact zeros.")
                    check(own > 0 or case.phase == "train", f"{what} has no gradient to that event. Expected some.")

    def test_no_look_ahead_by_length(self) -> None:
        self.only_if_causal()
        with no_dropout():
            for case in self.situations():
                if case.draws() or bool(case.batch.candidate.any()):  # candidates are the last events of their rows
                    continue
                whole = case.states()
                for length in range(1, len(case.events())):
                    early = cut(case.batch, length)
                    for kind, state in case.states(early).items():
                        same(whole[kind][:, :length][early.valid], state[early.valid], f"{case.name}: states {kind} "
                             f"events of rows cut to {length} events")

    def test_no_state_before_an_action_knows_it(self) -> None:
        self.only_if_causal()
        if "interleaved" not in self.layouts:
            raise SkipTest("no layout has a token before the action's")
        for case in self.situations():
            if not case.name.startswith("interleaved"):
                continue
            batch, events = watched(case.batch), torch.arange(len(case.events()))
            encoded = case.encode(batch)
            plain, before = case.states()["before"], states_by_kind(encoded)["before"]
            for event in case.events():
                what = f"{case.name}: the state before the action of event {event}"
                moved = randomised(case.batch, (events >= event) & case.batch.valid)
                own = case.states(replace(case.batch, actions=moved.actions))["before"]
                same(plain[:, event], own[:, event], f"{what} when that action changes")
                found = gradients(case.model, batch, encoded, before[0, event]).actions[0]
                check((found[event:] == 0).all(), f"{what} has a gradient to it. Expected exact zeros.")

    def test_candidates_see_the_context_and_themselves(self) -> None:
        cases = [case for case in self.situations() if bool(case.batch.candidate.any())]
        if not cases:
            raise SkipTest("without attention no mask can keep candidates apart")
        for case in cases:
            before, batch = case.states(), watched(case.batch)
            encoded = case.encode(batch)
            for event in case.batch.candidate[0].nonzero().flatten().tolist():
                only = (torch.arange(len(case.events())) == event) & case.batch.candidate
                after = case.states(randomised(case.batch, only))
                for kind, state in before.items():
                    same(state[~only], after[kind][~only], f"{case.name}: other states {kind} events when candidate "
                         f"{event} changes")
                    if not case.batch.hide_item[0, event]:
                        differ(state[only], after[kind][only], f"{case.name}: the state {kind} candidate {event}")
                others = [place for place in case.events() if place != event]
                for kind, state in states_by_kind(encoded).items():
                    found = gradients(case.model, batch, encoded, state[0, others]).events[0]
                    check(found[event] == 0, f"{case.name}: states {kind} other events have a gradient to candidate "
                          f"{event}. Expected exact zeros.")

    def test_both_sides_are_seen_where_not_causal(self) -> None:
        if self.resolved("causal"):
            raise SkipTest("the backbone is causal")
        for layout in self.layouts:
            model, (batch, _) = self.model(layout=layout), self.batch(n_rows=1)
            shown = (~batch.hide_item[0]).nonzero().flatten().tolist()
            after = states(model, batch)
            for event, others in ((shown[0], slice(shown[0] + 1, None)), (shown[-1], slice(0, shown[-1]))):
                only = torch.arange(batch.items.shape[1]) == event
                moved = (states(model, randomised(batch, only[None])) - after)[0, others].abs().max()
                side = "later" if event == shown[0] else "earlier"
                check(moved > 1e-12, f"{layout}: event {event} moves no {side} state. Expected some: the backbone "
                      "says causal=False.")

    def test_padding_changes_nothing(self) -> None:
        for case in self.situations():
            wide = padded(case.batch, 3)
            filled = randomised(replace(wide, items=torch.where(wide.valid, wide.items, 1)), ~wide.valid)
            empty, garbage = case.states(wide), case.states(filled)
            for kind, state in empty.items():
                same(state[wide.valid], garbage[kind][wide.valid],
                     f"{case.name}: states {kind} events with garbage in the padding", atol=0)
            batch = watched(case.batch)
            encoded = case.encode(batch)
            for kind, state in states_by_kind(encoded).items():
                found = gradients(case.model, batch, encoded, state[batch.valid])
                for what, size in (("padding", found.events[~batch.valid]),
                                   ("tokens that are not valid", found.tokens[~encoded.tokens.valid])):
                    check((size == 0).all(), f"{case.name}: states {kind} events have a gradient to {what}. Expected "
                          "exact zeros.")

    def test_the_width_of_the_padding_changes_nothing(self) -> None:
        with no_dropout():
            for case in self.situations():
                if case.draws():
                    continue
                wide = padded(case.batch, 3)
                narrow, found = case.states(), case.states(wide)
                for kind, state in narrow.items():
                    same(state[case.batch.valid], found[kind][wide.valid],
                         f"{case.name}: states {kind} events with more padding")

    def test_rows_do_not_see_each_other(self) -> None:
        with no_dropout():
            for case in self.situations():
                if not case.draws():
                    self._rows_on_their_own(case)
                    self._rows_among_others(case)

    def _rows_on_their_own(self, case: Situation) -> None:
        batch, whole = case.batch, case.states()
        by_length = batch.lengths.argsort().tolist()
        for rows in ([2, 0, 3, 1], by_length[:2], by_length[2:], [0], [1]):
            part = rows_of(batch, rows)
            for kind, state in case.states(part).items():
                same(whole[kind][rows][:, : state.shape[1]][part.valid], state[part.valid],
                     f"{case.name}: states {kind} events in a batch of rows {rows} and in that of all")

    def _rows_among_others(self, case: Situation) -> None:
        whole, batch = case.states(), watched(case.batch)
        encoded = case.encode(batch)
        for row in range(batch.n_rows):
            others = torch.arange(batch.n_rows) != row
            changed = case.states(randomised(case.batch, others[:, None] & case.batch.valid))
            for kind, state in states_by_kind(encoded).items():
                same(whole[kind][row], changed[kind][row], f"{case.name}: row {row}'s states {kind} events when other "
                     "rows change")
                found = gradients(case.model, batch, encoded, state[row][batch.valid[row]]).events[others]
                check((found == 0).all(), f"{case.name}: row {row}'s states {kind} events have a gradient to other "
                      "rows. Expected exact zeros.")

    def test_labels_move_no_state(self) -> None:
        self.only_if_it_repeats()
        batch, targets = self.batch()
        scrambled = replace(targets, item=targets.item % 30 + 1, actions=1 - targets.actions,
                            weights=targets.weights * 3)
        for phase in PHASES:
            first, second = (forward(self.model(), batch, t, phase).output.states for t in (targets, scrambled))
            same(first, second, f"states with scrambled labels ({phase})", atol=0)

    def test_it_changes_nothing_that_it_is_given(self) -> None:
        for case in self.situations():
            copy, state = clone_fields(case.batch), copied(case.model.state_dict())
            case.encode()
            for name, value in copy.items():
                check(torch.equal(getattr(case.batch, name), value), f"{case.name}: batch.{name} was changed in place. "
                      "Expected a batch as it was given.")
            if case.phase == "score":
                changed = [name for name, value in case.model.state_dict().items()
                           if isinstance(value, Tensor) and not torch.equal(value, state[name])]
                check(not changed, f"{case.name}: scoring changed {', '.join(changed)}. Expected training alone to.")

    def test_nothing_is_kept_between_batches(self) -> None:
        (batch, targets), (other, _) = self.batch(), self.batch(seed=5, length=9)
        fresh, used = self.model(), self.model()
        with torch.inference_mode():
            for seen in (batch, other):
                states(used, seen)
        first, second = (states(rewound(model), batch) for model in (fresh, used))
        same(first, second, "states of a model that scored another batch before", atol=0)
        for model in (fresh, used):
            train_step(model, batch, targets)
        for (name, one), (_, two) in zip(fresh.named_parameters(), used.named_parameters(), strict=True):
            if one.grad is not None and two.grad is not None:
                same(one.grad, two.grad, f"the gradient of {name} in a model that scored before", atol=0)

    def test_no_graph_outlives_its_step(self) -> None:
        model, (batch, _) = self.model(), self.batch()
        encoded = encode(model, batch, "train")
        sign = Sign()
        encoded.tokens.x.register_hook(sign)  # type: ignore[no-untyped-call]
        kept = weakref.ref(sign)
        del encoded, sign
        gc.collect()
        check(kept() is None, "the graph of a forward pass is held when its states are gone. Expected nothing kept on "
              "self. Hold it in ctx.scratch, or detach it.")


class Sign:
    """Hangs on a graph as a hook and lives as long as it."""

    def __call__(self, grad: Tensor) -> None:
        return None
