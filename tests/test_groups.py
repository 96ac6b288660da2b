"""What a model is for groups of users: every figure equals a loop, a probe finds what there is, and records say it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchbase import metrics
from benchbase.data import Groups
from benchbase.evaluate import assess, group_figures, watching
from benchbase.evaluate import groups as module
from benchbase.evaluate.probe import probe_auc
from benchbase.leaderboard import make_leaderboard
from benchbase.leaderboard.files import to_markdown
from benchbase.registry import Registry
from benchbase.runner import read_all, run
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_bce, tiny_causal, tiny_softmax
from benchbase.testing.world import World, tiny_data, tiny_world

PROTOCOL = {"split": {"name": "leave_last", "valid": 1, "test": 3}, "window": 8, "filter_seen": "none",
            "targets": "each"}


@pytest.fixture
def ranked():
    experiment = make_experiment(tiny_causal, objectives=[tiny_softmax], protocol=PROTOCOL)
    watch = watching(experiment)
    return experiment, watch, assess(experiment, "test", 5, watch)


def test_figures_of_a_ranking_equal_loops(ranked):
    experiment, watch, found = ranked
    code = experiment.data.prepared.groups["gender"].code
    assert len(found) > 1.5 * len(set(found.user.tolist()))  # users have several events
    figures = group_figures(experiment, found, "ndcg@5", 5, watch)
    users, values = found.user_values("ndcg@5")
    for place, label in enumerate("FM"):
        expected = np.mean([value for user, value in zip(users, values, strict=True) if code[user] == place])
        assert figures.values[f"gender.{label}.ndcg@5"] == pytest.approx(expected)
    gap = exposure(found, code)
    assert figures.values["gender.exposure_gap@5"] == pytest.approx(gap)
    random, known, drawn = np.random.default_rng(0), np.unique(found.user)[code[np.unique(found.user)] >= 0], []
    for _ in range(20):
        other = code.copy()
        other[known] = random.permutation(code[known])
        drawn.append(exposure(found, other))
    assert figures.chance["gender.exposure_gap@5"] == pytest.approx(np.mean(drawn))
    mine = code[watch.user]
    above = watch.scores > np.median(watch.scores[mine >= 0])
    rates = [above[mine == place].mean() for place in (0, 1)]
    assert figures.values["gender.threshold_gap"] == pytest.approx(abs(rates[0] - rates[1]))
    assert 0 <= figures.values["gender.probe_auc"] <= 1 and figures.chance["gender.probe_auc"] == 0.5


def exposure(found, code):
    """The gap of what two groups are shown, user by user."""
    shown = np.zeros((2, 31))
    for user in np.unique(found.user):
        if code[user] >= 0:
            items = found.top_items[found.user == user].ravel()
            shown[code[user]] += np.bincount(items, minlength=31) / (found.user == user).sum()
    shares = shown / shown.sum(axis=1, keepdims=True)
    return np.abs(shares[0] - shares[1]).sum() / 2


def test_each_user_is_watched_once_at_the_first_ranked_event(ranked):
    experiment, watch, found = ranked
    assert watch.user.tolist() == sorted(set(found.user.tolist()))
    first = [int(np.flatnonzero(found.user == user)[0]) for user in watch.user]
    assert any((found.user == user).sum() > 1 for user in watch.user)
    model, feed = experiment.model.eval(), experiment.feed
    events = experiment.data.prepared.interactions.offsets[found.user[first]] + found.event[first]
    for chunk in feed.score_batches(events, 64):
        encoded = model.encode(chunk.batch, "score")
        states = model.output(encoded, chunk.batch, chunk.targets, "score").states.detach().numpy()
        np.testing.assert_allclose(watch.states[chunk.index], states, atol=1e-5)
    item, score = found.top_items[first][:, 0], found.top_scores[first][:, 0]
    np.testing.assert_allclose(watch.scores[np.arange(len(first)), item - 1], score, atol=1e-5)


def test_small_groups_have_no_part_in_any_figure(ranked):
    """One of fewer than ten would say something of each of them."""
    experiment, watch, found = ranked
    code = experiment.data.prepared.groups["gender"].code.copy()
    who = np.unique(found.user)[:6]
    labels = ("F", "M", "X")
    groups = [Groups(np.where(np.isin(np.arange(len(code)), who), 2, code).astype(np.int16), labels),
              Groups(np.where(np.isin(np.arange(len(code)), who), -1, code).astype(np.int16), labels)]
    figures = []
    for each in groups:
        prepared = replace(experiment.data.prepared, groups={"gender": each})
        changed = replace(experiment, data=replace(experiment.data, prepared=prepared))
        figures.append(group_figures(changed, found, "ndcg@5", 5, watch))
    assert figures[0].values == figures[1].values and not any(".X." in name for name in figures[0].values)
    few = replace(experiment.data.prepared, groups={"gender": Groups(np.minimum(groups[0].code, 1) * 0, ("F", "M"))})
    assert group_figures(replace(experiment, data=replace(experiment.data, prepared=few)), found, "ndcg@5", 5).values \
        .keys() == {"gender.F.ndcg@5"}


def test_without_lists_of_that_length_there_is_no_gap_of_exposure(ranked):
    experiment, watch, found = ranked
    for k in (0, 6):
        assert not any("exposure" in name for name in group_figures(experiment, found, "ndcg@5", k, watch).values)


def test_of_more_users_and_items_some_are_drawn(monkeypatch):
    monkeypatch.setattr(module, "MOST_USERS", 10)
    monkeypatch.setattr(module, "MOST_BYTES", 10 * 4 * 7)
    experiment = make_experiment(tiny_causal, objectives=[tiny_softmax], protocol=PROTOCOL)
    watch = watching(experiment)
    found = assess(experiment, "test", 5, watch)
    assert watch.scores.shape == (10, 7) and len(set(watch.user.tolist())) == 10 and watch.states.shape[0] == 10
    assert watch.scores.all()
    assert group_figures(experiment, found, "ndcg@5", 5, watch).values.keys() >= {"gender.exposure_gap@5"}


def test_figures_of_predictions_are_those_of_a_groups_rows():
    protocol = {"tasks": ["action"], "split": {"name": "temporal_ratio", "valid": 0.3, "test": 0.3}, "targets": "each",
                "metrics": ["log_loss"]}
    experiment = make_experiment(tiny_causal, objectives=[tiny_bce], protocol=protocol, layout="interleaved")
    assert watching(experiment) is None
    found = assess(experiment, "test")
    figures = group_figures(experiment, found, "log_loss").values
    code = experiment.data.prepared.groups["gender"].code[found.asked.user]
    for place, label in enumerate("FM"):
        each = [metrics.log_loss(found.asked.labels[code == place, action], found.probabilities[code == place, action])
                for action in range(2)]
        assert figures[f"gender.{label}.log_loss"] == pytest.approx(np.mean(each))
    like = found.probabilities[:, 0]
    above = like > np.median(like[code >= 0])
    gap = abs(above[code == 0].mean() - above[code == 1].mean())
    assert figures["gender.threshold_gap.like"] == pytest.approx(gap)


def test_a_metric_of_all_actions_is_of_those_that_every_group_has():
    protocol = {"tasks": ["action"], "split": {"name": "temporal_ratio", "valid": 0.3, "test": 0.3}, "targets": "each",
                "metrics": ["auc"]}
    experiment = make_experiment(tiny_causal, objectives=[tiny_bce], protocol=protocol, layout="interleaved")
    found = assess(experiment, "test")
    code = experiment.data.prepared.groups["gender"].code[found.asked.user]
    labels = found.asked.labels.copy()
    labels[code == 0, 1] = False  # nobody of the first group shares
    found = replace(found, asked=replace(found.asked, labels=labels))
    figures = group_figures(experiment, found, "auc").values
    for place, label in enumerate("FM"):
        some = code == place
        expected = metrics.auc(labels[some, 0], found.probabilities[some, 0])
        assert figures[f"gender.{label}.auc"] == pytest.approx(expected)


def test_the_probe_leaves_torch_as_it_was(ranked):
    experiment, watch, found = ranked
    before = torch.random.get_rng_state()
    torch.set_default_dtype(torch.float64)  # a part may leave it so
    try:
        figures = group_figures(experiment, found, "ndcg@5", 5, watch).values
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert figures == group_figures(experiment, found, "ndcg@5", 5, watch).values


@pytest.mark.parametrize("kinds", [2, 3])
def test_a_probe_finds_what_there_is_and_nothing_else(kinds):
    random = np.random.default_rng(0)
    group = random.integers(0, kinds, 1500)
    noise = random.normal(size=(1500, 8)).astype(np.float32)
    assert probe_auc(noise, group) == pytest.approx(0.5, abs=0.05)
    told = noise.copy()
    told[:, 0] += 3 * group
    assert probe_auc(told, group) > (0.95 if kinds == 2 else 0.85)
    assert probe_auc(told, group) == probe_auc(told, group)


def test_a_probe_finds_what_no_line_tells():
    random = np.random.default_rng(1)
    states = random.normal(size=(2000, 4)).astype(np.float32)
    group = (states[:, 0] * states[:, 1] > 0).astype(int)
    assert probe_auc(states, group) > 0.85


def test_a_probe_of_too_few_users_tells_nothing():
    states = np.zeros((25, 3), np.float32)
    assert np.isnan(probe_auc(states, np.repeat([0, 1], [9, 16])))
    assert probe_auc(states, np.repeat([0, 1, 2], [10, 10, 5])) == 0.5


def test_groups_stand_in_the_record_as_figures_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))
    suite = {"suite": "g", "datasets": ["tiny_data[user_groups=gender]"],
             "protocol": {**PROTOCOL, "metrics": ["ndcg@5"]}, "train": {"epochs": 1, "batch": 8},
             "base": {"objectives": ["tiny_softmax"], "backbone": "tiny_causal"}}
    out = tmp_path / "out"
    run(suite, out, registry=Registry.of([tiny_data, tiny_causal, tiny_softmax]))
    ((_, record),) = read_all(out)
    names = {name for name in record.facts["metrics"] if name.startswith("groups.")}
    assert names == {f"groups.gender.{name}" for name in ("F.ndcg@5", "M.ndcg@5", "exposure_gap@5", "threshold_gap",
                                                       "probe_auc")}
    chance = record.facts["evaluation"]["by_chance"]
    assert set(chance) == {"groups.gender.exposure_gap@5", "groups.gender.probe_auc"}
    assert record.facts["data"]["card"]["groups"] == {"gender": {"F": 10, "M": 11}}
    assert "By gender of users" in to_markdown(make_leaderboard(out))


def test_without_groups_nobody_is_watched():
    world = tiny_world()
    bare = World(world.interactions, world.catalogue)
    experiment = make_experiment(tiny_causal, objectives=[tiny_softmax], protocol=PROTOCOL, world=bare)
    assert watching(experiment) is None
    figures = group_figures(experiment, assess(experiment, "test", 5), "ndcg@5", 5)
    assert figures.values == {} == figures.chance
