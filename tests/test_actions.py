"""The action task: what is read and asked, that nobody sees what they are to predict, and what comes of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchbase.data import Interactions
from benchbase.data.sequences import action_rows
from benchbase.errors import PluginError, Refusal, RunError
from benchbase.evaluate import ask, assess, check_askable, metric_values, per_action, predict
from benchbase.metrics import log_loss, normalised_entropy
from benchbase.nn import ActionHead, Objective
from benchbase.specs import Config, HeadConfig, ObjectiveSpec
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import (
    tiny_bce,
    tiny_bidirectional,
    tiny_causal,
    tiny_pointwise,
    tiny_recurrent,
    tiny_softmax,
)
from benchbase.testing.world import World, tiny_world
from benchbase.train import fit

ASKED = {"tasks": ["action"], "split": {"name": "temporal_ratio", "valid": 0.3, "test": 0.3}, "targets": "each",
         "metrics": ["ne", "auc"]}


def experiment(backbone=tiny_causal, world=None, protocol=None, **parts):
    return make_experiment(backbone, objectives=[tiny_bce], world=world, protocol=ASKED | (protocol or {}), **parts)


def changed(world, **columns):
    """The world with other columns of its interactions."""
    old = world.interactions
    new = {name: getattr(old, name) for name in ("offsets", "item", "timestamp", "actions", "features", "action_names",
                                                "feature_names", "user_ids")}
    return World(Interactions(**new | columns), world.catalogue)


def louder(made):
    """The model with weights of the size that training brings, so that what it reads shows."""
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if name == "head.bias":
                parameter.zero_()
            elif "norm" not in name and "head" not in name:
                parameter.mul_(8)
    return made


def train_batches(made, size=64):
    return [group for step in made.feed.train_batches(1, size, 1) for group in step]


class TestWhatIsRead:
    def test_all_actions_of_a_row_are_asked_for_and_none_is_hidden(self):
        made = experiment(layout="interleaved")
        (group,) = train_batches(made)
        batch, targets = group.batch, group.targets
        assert targets.task == "action" and not batch.hide_action.any() and not batch.candidate.any()
        assert len(targets) == int(batch.lengths.sum())
        assert torch.equal(targets.actions, batch.actions[targets.row, targets.event])
        assert torch.equal(targets.item, batch.items[targets.row, targets.event])

    def test_the_time_of_the_next_event_is_not_known(self):
        (group,) = train_batches(experiment(layout="interleaved"))
        assert torch.equal(group.batch.query_times, group.batch.timestamps)

    def test_a_row_holds_as_many_events_as_the_window(self):
        made = experiment(protocol={"window": 4})
        (group,) = train_batches(made)
        assert int(group.batch.lengths.max()) == 4 and group.batch.items.shape[1] == 4

    def test_a_user_of_one_event_is_learned_from(self):
        assert int(train_batches(experiment(protocol={"window": 1}))[0].batch.lengths.min()) == 1

    @pytest.mark.parametrize(("supervise", "count"), [("last", 1), ("candidates", 3)])
    def test_the_last_events_are_hidden_where_they_alone_are_asked_for(self, supervise, count):
        made = experiment(train={"supervise": supervise}, protocol={"action_candidates": 3}, layout="stacked")
        (group,) = train_batches(made)
        batch, targets = group.batch, group.targets
        last = torch.arange(batch.items.shape[1]) >= (batch.lengths - count)[:, None]
        assert torch.equal(batch.hide_action, last & batch.valid)
        assert torch.equal(batch.candidate, batch.hide_action & (supervise == "candidates"))
        assert not batch.actions[batch.hide_action].any() and len(targets) == int(batch.hide_action.sum())
        assert (batch.items > 0).equal(batch.valid), "the items of the hidden actions are known"

    def test_actions_that_are_no_labels_are_read_and_not_asked_for(self):
        plain = tiny_world().interactions
        longer = np.concatenate([plain.actions, np.linspace(0, 9, plain.n_events)[:, None]], axis=1, dtype=np.float32)
        world = changed(tiny_world(), actions=longer, action_names=("like", "share", "seconds"))
        made = experiment(world=world, layout="interleaved")
        (group,) = train_batches(made)
        assert group.batch.actions.shape[-1] == 3 and group.targets.actions.shape[-1] == 2
        assert made.context.predicted == ("like", "share") and made.model.actions.map.in_features == 3

    def test_rows_of_evaluated_events_by_hand(self):
        offsets = np.array([0, 6, 10])
        world = changed(tiny_world(), offsets=offsets, item=np.ones(10, np.int32), timestamp=np.arange(10))
        rows, count = action_rows(world.interactions, np.array([2, 3, 4, 5, 8, 9]), 4, 3)
        assert rows.user.tolist() == [0, 0, 1] and count.tolist() == [3, 1, 2]
        assert list(zip(rows.start.tolist(), rows.stop.tolist(), strict=True)) == [(1, 5), (2, 6), (6, 10)]

    def test_events_that_do_not_follow_each_other_do_not_share_a_row(self):
        rows, count = action_rows(tiny_world().interactions, np.array([1, 3, 4]), 9, 5)
        assert count.tolist() == [1, 2] and rows.stop.tolist() == [2, 5]

    @pytest.mark.parametrize("candidates", [0, 1, 3])
    @pytest.mark.parametrize("size", [1, 5, 256])
    def test_every_evaluated_event_is_asked_for_once(self, candidates, size):
        made = experiment(protocol={"action_candidates": candidates})
        events = made.data.split.test_events
        found = {}
        for chunk in made.feed.score_batches(events, size):
            for place, row, event, label in zip(chunk.index.tolist(), chunk.targets.row.tolist(),
                                                chunk.targets.event.tolist(), chunk.targets.actions, strict=True):
                assert place not in found and bool(chunk.batch.hide_action[row, event])
                found[place] = int(chunk.batch.items[row, event]), label.tolist()
        interactions = made.data.prepared.interactions
        assert found == {place: (int(interactions.item[event]), interactions.actions[event].tolist())
                         for place, event in enumerate(events)}


LAYOUTS = [("items", 0), ("interleaved", 0), ("interleaved", 2), ("stacked", 0), ("stacked", 2)]


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_pointwise, tiny_recurrent], ids=lambda spec: spec.name)
@pytest.mark.parametrize(("layout", "candidates"), LAYOUTS)
class TestNobodySees:
    def made(self, backbone, layout, candidates, world=None):
        supervise = {} if layout != "stacked" else {"supervise": "last"}
        if backbone is tiny_recurrent and candidates:
            pytest.skip("without attention candidates see each other")
        return louder(experiment(backbone, world=world, layout=layout, protocol={"action_candidates": candidates},
                                 train=supervise))

    def test_what_they_are_to_predict(self, backbone, layout, candidates):
        """Neither the action asked for, nor anything after it, moves a probability."""
        plain = self.made(backbone, layout, candidates)
        first = predict(plain, "test").probabilities
        world, split = tiny_world(), plain.data.split
        interactions = world.interactions
        for own in range(0, len(split.test_events), 7):
            event = split.test_events[own]
            stop = interactions.offsets[np.searchsorted(interactions.offsets, event, side="right")]
            actions = interactions.actions.copy()
            actions[event:stop] = 1 - actions[event:stop]
            item = interactions.item.copy()
            item[event + 1 : stop] = item[event + 1 : stop] % 30 + 1
            other = self.made(backbone, layout, candidates, changed(world, actions=actions, item=item))
            assert np.array_equal(other.data.split.test_events, split.test_events)
            np.testing.assert_allclose(predict(other, "test").probabilities[own], first[own], atol=1e-6)

    def test_and_everyone_sees_the_item_and_what_came_before(self, backbone, layout, candidates):
        plain = self.made(backbone, layout, candidates)
        events = plain.data.split.test_events
        world = tiny_world()
        interactions = world.interactions
        user = np.searchsorted(interactions.offsets, events, side="right") - 1
        own = int(np.flatnonzero(np.diff(user, prepend=-1) != 0)[3])  # the first evaluated event of some user
        event = events[own]
        item, actions = interactions.item.copy(), interactions.actions.copy()
        item[event] = item[event] % 30 + 1
        actions[event - 1] = 1 - actions[event - 1]
        first = predict(plain, "test").probabilities[own]
        by_item = predict(self.made(backbone, layout, candidates, changed(world, item=item)), "test")
        by_action = predict(self.made(backbone, layout, candidates, changed(world, actions=actions)), "test")
        assert np.abs(by_item.probabilities[own] - first).max() > 1e-6
        assert (np.abs(by_action.probabilities[own] - first).max() > 1e-6) == (layout != "items")


@pytest.mark.parametrize("layout", ["interleaved", "stacked"])
@pytest.mark.parametrize("backbone", [tiny_causal, tiny_pointwise], ids=lambda spec: spec.name)
def test_candidates_together_are_candidates_one_by_one(backbone, layout):
    train = {"supervise": "candidates"}
    together = louder(experiment(backbone, layout=layout, train=train, protocol={"action_candidates": 4, "window": 30}))
    (chunk,) = together.feed.score_batches(together.data.split.test_events, 256)
    batch, targets = chunk.batch, chunk.targets
    whole = together.model.output(together.model.encode(batch, "score"), batch, targets, "score").logits
    row, event = targets.row, targets.event
    context = (batch.valid & ~batch.candidate).sum(dim=1)
    for place in range(0, len(targets), 3):
        r, e, known = int(row[place]), int(event[place]), int(context[row[place]])
        keep = torch.tensor([*range(known), e])
        wide = {name: getattr(batch, name)[r : r + 1, keep] for name in (
            "items", "timestamps", "query_times", "domains", "actions", "features", "hide_item", "hide_action",
            "candidate")}
        alone = replace(batch, users=batch.users[r : r + 1], lengths=torch.tensor([known + 1]), **wide)
        one = replace(targets, row=torch.tensor([0]), event=torch.tensor([known]), item=targets.item[place : place + 1],
                      actions=targets.actions[place : place + 1], weights=targets.weights[place : place + 1])
        logits = together.model.output(together.model.encode(alone, "score"), alone, one, "score").logits
        torch.testing.assert_close(logits[0], whole[place], atol=1e-5, rtol=1e-5)


def liked_world(n_users=40):
    """Whoever likes a genre likes all of it: what a user did with an item's genre before tells what they do now."""
    world = tiny_world(n_users)
    interactions = world.interactions
    taste = (interactions.user + interactions.item) % 2 == 0
    actions = np.stack([taste, interactions.item % 3 == 0], axis=1).astype(np.float32)
    return changed(world, actions=actions)


class TestLearning:
    def test_a_model_learns_what_tells_actions_and_its_metrics_are_those_of_its_predictions(self):
        made = experiment((tiny_causal, {"width": 16}), liked_world(), layout="interleaved",
                          train={"epochs": 60, "lr": 0.02, "patience": 0, "batch": 16})
        fitted = fit(made)
        found = assess(made, "test")
        values = metric_values(found, ["ne", "ne.like", "ne.share", "auc", "log_loss", "user_auc.like"])
        assert values["ne.share"] < 0.6, "it depends on the item alone"
        labels = found.asked.labels
        assert values["ne.share"] == pytest.approx(normalised_entropy(labels[:, 1], found.probabilities[:, 1]))
        each = [log_loss(labels[:, place], found.probabilities[:, place]) for place in range(2)]
        assert values["log_loss"] == pytest.approx(np.mean(each))
        assert values["ne"] == pytest.approx((values["ne.like"] + values["ne.share"]) / 2)
        assert per_action(found, ["ne", "auc.like"]).keys() == {"ne.like", "ne.share"}
        curve = [value for _, name, value in fitted.curve if name == "valid.ne"]
        assert fitted.best_epoch == 1 + int(np.argmin(curve)), "less is better"
        again = metric_values(assess(made, "valid"), ["ne"])["ne"]
        assert again == pytest.approx(min(curve), abs=1e-6), "the best parameters are the ones that are left"

    def test_the_same_seed_gives_the_same_predictions(self):
        first, second = (predict(_fitted(), "test").probabilities for _ in range(2))
        assert np.array_equal(first, second)

    def test_heads_start_at_the_base_rates_of_the_train_part(self):
        made = experiment()
        labels = train_batches(made)[0]
        train = made.data.prepared.interactions.actions[made.data.split.part == 0]
        torch.testing.assert_close(made.model.head.bias.sigmoid(), torch.from_numpy(train.mean(axis=0)))
        assert labels.targets.actions.shape[-1] == 2

    def test_facts(self):
        made = experiment()
        found = predict(made, "test")
        assert found.facts["evaluated"] == len(found) == len(made.data.split.test_events)
        assert found.facts["base_rates"]["like"] == pytest.approx(found.asked.labels[:, 0].mean())
        assert found.seconds > 0 and 0 <= found.facts["cold_share"] < 1

    def test_events_are_named_by_user_and_place(self):
        made = experiment()
        asked, interactions = ask(made, "test"), made.data.prepared.interactions
        at = interactions.offsets[asked.user] + asked.event
        assert np.array_equal(at, made.data.split.test_events)
        assert np.array_equal(asked.labels, interactions.actions[at] > 0)

    def test_a_probability_that_is_no_number_fails_the_run(self):
        made = experiment()
        made.model.head.bias.data.fill_(float("nan"))
        with pytest.raises(RunError, match=r"prediction: a probability is not finite\. Expected finite"):
            predict(made, "test")


def _fitted():
    made = experiment(layout="interleaved", head=HeadConfig(kind="mmoe", hidden=8, experts=3))
    fit(made)
    return made


class TestHeads:
    def test_mmoe_by_hand(self):
        torch.manual_seed(0)
        head = ActionHead(HeadConfig(kind="mmoe", hidden=5, experts=3), 4, 2, [0.2, 0.5]).double()
        states, features = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
        x, body, silu = torch.cat([states, features], dim=1), head.body, torch.nn.functional.silu
        for p in range(6):
            experts = [silu(body.experts.weight[5 * e : 5 * e + 5] @ x[p] + body.experts.bias[5 * e : 5 * e + 5])
                       for e in range(3)]
            for k in range(2):
                own = slice(3 * k, 3 * k + 3)
                gate = torch.softmax(body.gates.weight[own] @ x[p] + body.gates.bias[own], 0)
                mixed = sum(g * each for g, each in zip(gate, experts, strict=True))
                tower = silu(body.rise[k] @ mixed + body.shift[k])
                torch.testing.assert_close(head(states, features)[p, k], body.fall[k] @ tower + head.bias[k])

    @pytest.mark.parametrize("kind", ["mlp", "mmoe"])
    def test_every_parameter_and_every_feature_has_a_say(self, kind):
        torch.manual_seed(0)
        head = ActionHead(HeadConfig(kind=kind, hidden=7), 4, 2, [0.2, 0.5, 0.0])
        states, features = torch.randn(6, 4, requires_grad=True), torch.randn(6, 2, requires_grad=True)
        head(states, features).square().sum().backward()
        for given in (states, features, *head.parameters()):
            assert given.grad is not None and (given.grad != 0).any()

    def test_a_rate_of_zero_starts_at_finite_odds(self):
        assert torch.isfinite(ActionHead(HeadConfig(), 4, 0, [0.0, 1.0]).bias).all()


class TestRefusals:
    @pytest.mark.parametrize(("parts", "protocol", "train", "message"), [
        ({"backbone": tiny_bidirectional}, {}, {}, r"tiny_bidirectional \+ tasks \[action\]: masked training sees"),
        ({"backbone": tiny_recurrent}, {"action_candidates": 2}, {}, r"tiny_recurrent \+ protocol.action_candidates: "
                                                                     r"without attention candidates see each other"),
        ({"layout": "stacked"}, {}, {}, r"layout stacked \+ tasks \[action\]: a token of item and action .* "
                                         r"Expected train.supervise: last or candidates, or layout: interleaved"),
        ({}, {}, {"supervise": "candidates"}, r"train.supervise: protocol.action_candidates is 0, so there are none"),
        ({}, {"action_candidates": 8}, {}, r"protocol.action_candidates: 8 of a window of 8 leave no event to read"),
        ({}, {"metrics": ["ne.lke"]}, {}, r"protocol.metrics: ne.lke is of no action that is predicted. "
                                          r"Did you mean 'like'\? Actions: like, share"),
    ])
    def test_what_does_not_fit(self, parts, protocol, train, message):
        with pytest.raises(Refusal, match=message):
            experiment(**{"protocol": protocol, "train": train, **parts})

    def test_data_without_labels(self):
        plain = tiny_world().interactions
        world = changed(tiny_world(), actions=plain.actions + 0.5)
        with pytest.raises(Refusal, match="the data set has no action that is 0 or 1 in every event"):
            experiment(world=world)

    def test_two_tasks(self):
        with pytest.raises(Refusal, match=r"protocol.tasks: a run has one task. Expected tasks: \[next_item\] or"):
            make_experiment(tiny_causal, objectives=[tiny_softmax, tiny_bce],
                            protocol={"tasks": ["next_item", "action"], "metrics": ["ndcg@10"]})

    def test_a_loss_of_items(self):
        with pytest.raises(Refusal, match="tiny_softmax: it does not fit tasks action"):
            make_experiment(tiny_causal, objectives=[tiny_softmax], protocol=ASKED)

    def test_what_cannot_be_evaluated_is_not_trained(self):
        plain = tiny_world().interactions
        actions = plain.actions.copy()
        made = experiment()
        actions[made.data.split.test_events, 1] = 0
        made = experiment(world=changed(tiny_world(), actions=actions), protocol={"metrics": ["ne", "auc.share"]})
        with pytest.raises(RunError, match=r"evaluation: auc.share is not defined on the test part. Expected events"):
            check_askable(made)
        check_askable(experiment(world=changed(tiny_world(), actions=actions)))


class Louder(Objective):
    """Log-odds of twice the size and one more, in training alone; notes what it is shown."""

    def __init__(self, wrong=False):
        super().__init__()
        self.wrong, self.seen = wrong, []

    def action_logits(self, logits, targets, batch, phase):
        self.seen.append((phase, float(targets.actions.abs().sum()), targets.item.clone()))
        assert targets.marks is None
        if self.wrong:
            return logits[:, :1]
        return logits * 2 + 1 if phase == "train" else logits


class TestLogOddsOfObjectives:
    def made(self, **options):
        spec = ObjectiveSpec(name="louder", config=Config, build=lambda config, context: Louder(**options),
                             source="tests")
        return make_experiment(tiny_causal, objectives=[tiny_bce, spec], protocol=ASKED)

    def test_they_stand_for_those_of_the_head_and_know_not_what_happened(self):
        louder, plain = self.made(), experiment()
        group = train_batches(plain)[0]
        assert group.targets.actions.abs().sum() > 0
        group = replace(group, targets=replace(group.targets, marks=group.targets.actions.clone()))
        found = []
        for made, phase in ((plain, "train"), (louder, "train"), (plain, "score"), (louder, "score")):
            model = made.model.eval()
            encoded = model.encode(group.batch, phase)
            found.append(model.output(encoded, group.batch, group.targets, phase).logits)
        torch.testing.assert_close(found[1], found[0] * 2 + 1)
        assert torch.equal(found[3], found[2])
        (phase, shown, item), _ = louder.model.objectives["louder"].seen
        assert phase == "train" and shown == 0 and torch.equal(item, group.targets.item)

    def test_another_shape_is_the_plugins_mistake(self):
        with pytest.raises(PluginError, match=r"louder: action_logits has shape \(\d+, 1\)\. Expected \(\d+, 2\)\."):
            predict(self.made(wrong=True), "test")
