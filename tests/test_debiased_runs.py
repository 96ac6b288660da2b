"""Debiasing where the truth is known: what estimates say of what was shown, and what models learn from it."""

from pathlib import Path

import numpy as np
import pytest

import benchbase
from benchbase.data import encode
from benchbase.metrics import parse, values
from benchbase.runner import read_all
from benchbase.runner.records import Record

pytestmark = pytest.mark.plugins

WORLD = {"n_users": 2_000, "n_items": 30, "events": 25, "skew": 1.5}


def test_estimates_with_known_propensities_meet_the_truth_and_the_naive_one_does_not() -> None:
    """Of a guess that is the same for all: its squared error, over all users and items, is known exactly."""
    from benchbase_llm4rec.estimators import inverse_propensity, naive
    from benchbase_synthetic import truth
    from benchbase_synthetic.config import ExposureConfig
    from benchbase_synthetic.exposure import groups_of
    from benchbase_synthetic.worlds import exposure

    config = ExposureConfig(**WORLD, keep="shown", random=0)
    interactions, catalogue, _ = encode(exposure(config, 0), config, 0)
    showing = truth.showing(config, catalogue)
    guess = np.linspace(0, 1, config.n_items)[np.argsort(np.argsort(showing.propensity))]  # right of what is shown
    item = interactions.item - 1
    losses = (interactions.actions[:, 0] - guess[item]) ** 2
    liking = showing.liking[groups_of(config, 0)].mean(axis=0)
    everything = float((liking * (1 - guess) ** 2 + (1 - liking) * guess**2).mean())
    e = showing.propensity / showing.propensity.mean()  # times oftener than if all were shown alike
    for found in (inverse_propensity(losses, e[item]), inverse_propensity(losses, e[item], normalise=False)):
        assert abs(found.value - everything) < 3 * found.standard_error
    found = naive(losses)
    assert abs(found.value - everything) > 3 * found.standard_error
    constant = inverse_propensity(losses, np.ones(len(losses)))
    assert constant.value == pytest.approx(found.value)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """Each entry's one run, by label; the last event of each user is one of items shown alike."""
    out = tmp_path_factory.mktemp("debiased")
    sizes = ",".join(f"{name}={value}" for name, value in WORLD.items())
    suite = {
        "suite": "debiased", "datasets": [f"exposure[{sizes}]"], "seeds": [1], "guards": False,
        "protocol": {"split": "leave_one_out", "window": 25, "filter_seen": "none", "metrics": ["ndcg@10", "recall@1"]},
        "train": {"epochs": 12, "patience": 3, "batch": 64, "lr": 0.003, "device": "cpu"},
        "base": {"backbone": "sasrec[width=16,layers=1,dropout=0]", "objectives": ["softmax"]},
        "entries": [
            {"label": "plain"},
            {"label": "known", "objectives": ["softmax", "ips[propensity=column,clip=0.001]"]},
            {"label": "all alike", "objectives": ["softmax", "ips[power=0]"]},
            {"label": "clipped", "objectives": ["softmax", "ips[propensity=column,clip=0.2]"]},
            {"label": "odds", "objectives": ["softmax", "popularity_backdoor[form=multiplicative]"]},
            {"label": "one bin", "objectives": ["softmax", "popularity_backdoor[bins=1]"]},
        ],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHBASE_CACHE", str(out / "cache"))
        assert benchbase.run(suite, out).good
    return {record.facts["configuration"]["label"]: record for _, record in read_all(out) if isinstance(record, Record)}


def reached(record: Record) -> float:
    return float(record.facts["metrics"]["ndcg@10"])


def test_what_is_liked_is_learned_from_what_was_shown(records: dict[str, Record]) -> None:
    """Weights that undo the showing gain much; odds that undo popularity do, too, and take what is liked with it."""
    plain = reached(records["plain"])
    assert reached(records["known"]) > plain + 0.05
    assert reached(records["odds"]) > plain + 0.02
    assert reached(records["known"]) > reached(records["clipped"]) > plain


def test_no_model_is_better_than_whoever_knows_the_law(records: dict[str, Record]) -> None:
    from benchbase_synthetic import truth
    from benchbase_synthetic.config import ExposureConfig
    from benchbase_synthetic.worlds import exposure

    config = ExposureConfig(**WORLD)
    interactions, catalogue, _ = encode(exposure(config, 0), config, 0)
    last = interactions.offsets[1:] - 1
    best = truth.best_recall_given(config, interactions, catalogue, last)
    for record in records.values():
        events = record.table("events.parquet")
        found = values(parse("recall@1"), *(np.asarray(events[name]) for name in ("above", "tied", "candidates")))
        assert found.mean() < best + 3 * np.sqrt(best * (1 - best) / len(last))


def test_where_nothing_is_to_be_undone_a_run_is_the_plain_one(records: dict[str, Record]) -> None:
    """Equal propensities, or one bin of popularity: the same model, event by event."""
    for label in ("all alike", "one bin"):
        for name in ("above", "tied"):
            one, two = (records[each].table("events.parquet")[name] for each in (label, "plain"))
            np.testing.assert_array_equal(one, two, label)


def test_what_weights_cost_is_recorded(records: dict[str, Record]) -> None:
    """The effective sample size by epoch, against the clip."""
    found = {}
    for label in ("known", "clipped", "all alike"):
        curve = records[label].table("curve.parquet")
        found[label] = [value for name, value in zip(curve["name"], curve["value"], strict=True)
                        if name.endswith("ips.effective")]
        assert found[label]
    assert max(found["known"]) < min(found["clipped"]) < 0.999
    assert min(found["all alike"]) == pytest.approx(1)


def test_a_catalogue_without_propensities_is_refused_before_any_compute(tmp_path: Path) -> None:
    suite = {
        "suite": "refused", "datasets": ["noise[n_users=20,n_items=10,events=5]"], "seeds": [1], "guards": False,
        "protocol": {"split": "leave_one_out"}, "train": {"epochs": 1},
        "base": {"backbone": "sasrec[width=8]", "objectives": ["softmax", "ips[propensity=column]"]},
        "entries": [{"label": "known"}],
    }
    benchbase.run(suite, tmp_path)
    (_, record), = read_all(tmp_path)
    assert isinstance(record, Record)
    assert record.facts["status"] == "skipped" and "propensity" in record.facts["reason"]


def test_actions_are_weighed_by_their_items_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that was shown, what is liked: any loss of either task is weighed, and equal weights change nothing."""
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))
    suite = {
        "suite": "shown", "datasets": ["exposure[n_users=200,n_items=20,events=15,keep=shown]"], "seeds": [1],
        "protocol": {"split": "leave_one_out", "window": 15, "tasks": ["action"], "metrics": ["log_loss"]},
        "train": {"epochs": 3, "patience": 0, "batch": 32, "lr": 0.003, "device": "cpu"}, "guards": False,
        "base": {"backbone": "hstu[width=16,layers=1]", "layout": "interleaved", "objectives": ["action_bce"]},
        "entries": [{"label": "plain"}, {"label": "alike", "objectives": ["action_bce", "ips[power=0]"]},
                    {"label": "known", "objectives": ["action_bce", "ips[propensity=column]"]}],
    }
    assert benchbase.run(suite, tmp_path / "out").good
    found = {record.facts["configuration"]["label"]: record.facts["metrics"]["log_loss"]
             for _, record in read_all(tmp_path / "out") if isinstance(record, Record)}
    assert found["plain"] == found["alike"] != found["known"]
    assert 0 < found["known"] < 0.8
