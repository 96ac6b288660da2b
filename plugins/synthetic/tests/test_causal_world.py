"""The world `causal`: its graph, its law, and a judge that knows right from wrong."""

from itertools import pairwise

import numpy as np
import pytest
from benchbase_synthetic import benchbase_datasets, truth
from benchbase_synthetic import graph as law
from benchbase_synthetic.config import CausalConfig
from benchbase_synthetic.graph import NOISE, Process, make_graph
from benchbase_synthetic.judge import GraphTruth
from pydantic import ValidationError

from benchbase import DataContext
from benchbase.data import Catalogue, prepare, split
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

SPEC, = (spec for spec in benchbase_datasets() if spec.name == "causal")
ROWS, STEPS = 20_000, 12


class TestCausal(DatasetContract):
    spec = SPEC
    config = CausalConfig(n_users=60, events=12)


def sampled(config, seed=0, rows=ROWS, steps=STEPS):
    return Process(config, seed).sample(rows, steps, np.random.default_rng([seed, 0]))


@pytest.mark.parametrize("parameters", [{}, {"n_items": 6, "causes": 2.5, "themes": 0}, {"causes": 0},
                                        {"n_items": 5, "themes": 1, "companions": 5, "causes": 1}])
@pytest.mark.parametrize("seed", range(3))
def test_the_graph_has_no_cycle_and_joins_no_companions(parameters, seed):
    config = CausalConfig(**parameters)
    graph = make_graph(config, seed)
    edges = graph.edges.astype(float)
    assert not np.linalg.matrix_power(edges + 0, config.n_items).any()
    assert not (graph.edges & graph.companions).any()
    wanted = 0 if config.companions == config.n_items else round(config.causes * config.n_items)
    assert graph.edges.sum() == wanted
    strengths = graph.strength[graph.edges]
    assert ((strengths >= config.low) & (strengths <= config.high)).all()
    sizes = np.bincount(graph.theme[graph.theme >= 0], minlength=config.themes)
    assert (sizes == config.companions).all() and np.array_equal(graph.companions, graph.companions.T)


def test_the_law_of_the_next_item_is_the_structural_equation():
    """Without themes, after one event: the softmax of the strengths that it has on each item."""
    config = CausalConfig(n_items=8, causes=1.5, themes=0)
    items, strength = sampled(config, rows=200_000, steps=2), make_graph(config, 0).strength
    first = np.bincount(items[:, 0], minlength=8)
    assert ((first - 25_000) ** 2 / 25_000).sum() < 7 + 6 * np.sqrt(14)
    for cause in range(8):
        after = items[items[:, 0] == cause, 1]
        expected = np.exp(strength[:, cause])
        expected *= len(after) / expected.sum()
        assert ((np.bincount(after, minlength=8) - expected) ** 2 / expected).sum() < 7 + 6 * np.sqrt(14)


def test_memory_fades_and_strengths_add_up():
    """Two items, the first causes the second: after both or after twice the cause, by hand."""
    config = CausalConfig(n_items=2, causes=0.5, themes=0, low=1, high=1, memory=0.5)
    items, strength = sampled(config, rows=200_000, steps=3), make_graph(config, 0).strength
    effect, cause = np.argwhere(strength)[0]
    for first, second, drive in ((cause, cause, 1.5), (cause, effect, 0.5), (effect, cause, 1.0), (effect, effect, 0)):
        then = items[(items[:, 0] == first) & (items[:, 1] == second), 2]
        share = 1 / (1 + np.exp(-drive))
        assert abs((then == effect).mean() - share) < 5 * np.sqrt(0.25 / len(then))


def test_companions_occur_together_without_a_cause():
    config = CausalConfig(causes=0, themes=4, companions=3, spurious=3)
    items, graph = sampled(config), make_graph(config, 0)
    now, then = items[:, 2], items[:, 3]
    pairs = np.zeros((40, 40))
    np.add.at(pairs, (now, then), 1)
    together, others = pairs[graph.companions].mean(), pairs[~graph.companions & ~np.eye(40, dtype=bool)].mean()
    assert together > 3 * others
    asymmetry = np.abs(pairs - pairs.T)[graph.companions].max()
    assert asymmetry < 6 * np.sqrt(2 * pairs[graph.companions].max())  # either comes first as often


def test_a_nonlinear_response_steps_up():
    plain, steps = Process(CausalConfig(), 0), Process(CausalConfig(response="nonlinear"), 0)
    drive = np.array([0.0, 0.5, 1, 2, 3, 8])
    assert np.array_equal(plain.response(drive), drive)
    found = steps.response(drive)
    assert found[0] == 0 and (np.diff(found) > 0).all() and found[-1] == pytest.approx(4, abs=1e-3)
    assert found[3] == pytest.approx(2) and found[1] / drive[1] < 0.5 < found[3] / drive[3]


def test_standardised_popularity_no_longer_tells_effects_from_causes():
    raw, even = CausalConfig(themes=0, causes=2), CausalConfig(themes=0, causes=2, scale="standardised")
    popular = {config.scale: np.bincount(sampled(config)[:, 6:].ravel(), minlength=40) for config in (raw, even)}
    degree = make_graph(raw, 0).edges.sum(axis=1)
    assert np.corrcoef(popular["raw"], degree)[0, 1] > 0.6
    assert popular["standardised"].std() < popular["raw"].std() / 2
    process = Process(even, 0)
    assert process.mean.shape == (40,) and (process.deviation >= NOISE * 0.9).all()


@pytest.mark.parametrize("parameters", [{}, {"themes": 0}, {"response": "nonlinear"}, {"stay": 0, "memory": 0}])
def test_the_law_given_the_past_is_that_of_the_draws(parameters):
    """Sums of what it gives to the items that happened, and to all by rank, against what happened."""
    config = CausalConfig(n_items=24, **parameters)
    items = sampled(config, rows=20_000, steps=7)
    chance = Process(config, 0).law(items[:, :6], np.full(20_000, 6))
    assert np.allclose(chance.sum(axis=1), 1)
    happened = np.bincount(items[:, 6], minlength=24)
    assert ((happened - chance.sum(axis=0)) ** 2 / chance.sum(axis=0)).sum() < 23 + 6 * np.sqrt(46)
    chance += 1e-9 * np.random.default_rng(0).random(chance.shape)  # level ones in any order
    rank = (chance > chance[np.arange(20_000), items[:, 6]][:, None]).sum(axis=1)
    expected = np.sort(chance, axis=1)[:, ::-1].sum(axis=0)
    assert ((np.bincount(rank, minlength=24) - expected) ** 2 / expected).sum() < 23 + 6 * np.sqrt(46)


def test_the_law_sums_over_all_themes_that_may_have_been():
    """Every path of themes of three events, one by one."""
    config = CausalConfig(n_items=8, themes=2, companions=2, causes=1, spurious=1.5, stay=0.6)
    process, graph = Process(config, 1), make_graph(config, 1)
    past, drive, total = [3, 0, 5], np.zeros(8), np.zeros(8)
    laws = []
    for item in [*past, None]:
        utility = drive + 1.5 * (graph.theme == np.arange(2)[:, None])
        laws.append(np.exp(utility) / np.exp(utility).sum(axis=1, keepdims=True))
        if item is not None:
            drive = 0.7 * drive + graph.strength[:, item]
    for path in np.ndindex(2, 2, 2, 2):
        weight = 0.5 * np.prod([0.6 * (a == b) + 0.2 for a, b in pairwise(path)])
        weight *= np.prod([laws[step][path[step], item] for step, item in enumerate(past)])
        total += weight * laws[3][path[3]]
    rows = np.array([[*past, 7], [3, 7, 7, 7]])
    found = process.law(rows, np.array([3, 1]))
    assert np.allclose(found[0], total / total.sum())
    assert np.allclose(found[1], process.law(rows[1:, :1], np.array([1]))[0])


def test_the_best_recall_given_the_past(tmp_path):
    config = CausalConfig(n_users=3_000, events=10, events_spread=4)
    found = prepare(SPEC, config, DataContext(cache=tmp_path, seed=2))
    log = found.interactions
    events = split(log, found.catalogue, "leave_one_out").test_events
    best = truth.best_recall_given(config, log, found.catalogue, events, 1, seed=2)
    process = Process(config, 2)
    hits = 0.0
    for event in events[:500]:
        first = log.offsets[np.searchsorted(log.offsets, event, side="right") - 1]
        past = found.catalogue.item_ids[log.item[first:event]] - 1
        chance = process.law(past[None], np.array([len(past)]))[0]
        hits += chance.argmax() == found.catalogue.item_ids[log.item[event]] - 1
    assert abs(hits / 500 - best) < 5 * np.sqrt(0.25 / 500)
    with pytest.raises(DataError, match=r"scale standardised: the best recall is not known\. Expected raw, whose"):
        truth.best_recall_given(config.model_copy(update={"scale": "standardised"}), log, found.catalogue, events)
    with pytest.raises(DataError, match="of 40 items have no event before the last two of a user"):
        truth.best_recall_given(CausalConfig(n_users=3, events=3), log, found.catalogue, events)


def test_blocks_of_users_leave_the_law(monkeypatch):
    whole = np.bincount(sampled(CausalConfig())[:, 5], minlength=40)
    monkeypatch.setattr(law, "CELLS", 40_000)
    parts = np.bincount(sampled(CausalConfig())[:, 5], minlength=40)
    assert ((whole - parts) ** 2 / (whole + parts)).sum() < 39 + 6 * np.sqrt(78)


@pytest.mark.parametrize(("parameters", "message"), [
    ({"low": 3, "high": 2}, "low 3.0 is above high 2.0"),
    ({"n_items": 4, "causes": 2, "themes": 0}, r"causes 2.0 exceed 1.5, those of the fullest graph of 4 items"),
    ({"themes": 20}, "20 themes of 3 companions take more than n_items 40"),
    ({"memory": 1}, "less than 1"),
])
def test_impossible_worlds_are_refused(parameters, message):
    with pytest.raises(ValidationError, match=message):
        CausalConfig(**parameters)


# The judge.

CONFIG = CausalConfig(n_items=12, causes=1.5, themes=2, companions=3)


def catalogue(ids=range(1, 13)):
    return Catalogue(np.array([0, *ids]), True)


def rows(n=300, length=10, n_items=12):
    items = np.random.default_rng(5).integers(1, n_items + 1, (n, length))
    items[: n // 3, 7:] = 0
    return items


def relation_of(items, between):
    """R of each sequence, as a relation between items says; 0 where there is no event."""
    padded = np.zeros((len(between) + 1, len(between) + 1), np.float32)
    padded[1:, 1:] = between
    found = padded[items[:, :, None], items[:, None, :]]
    found[:, np.arange(items.shape[1]), np.arange(items.shape[1])] = 0
    return found


def judged(between, items=None, attention=None, truth=None):
    items, truth = rows() if items is None else items, truth or GraphTruth(CONFIG, catalogue(), 0)
    truth.observe(items, {} if between is None else {"relation": relation_of(items, between)}, attention)
    return truth.metrics()


def test_the_true_relation_is_right_in_every_figure():
    strength = make_graph(CONFIG, 0).strength
    found = judged(-strength)  # its sign does not count
    for prefix in ("", "skeleton_"):
        assert [found[prefix + name] for name in ("ap", "precision", "recall", "shd")] == [1, 1, 1, 0]
    assert found["spurious"] == 0


def test_turned_round_it_is_right_but_for_directions():
    strength = make_graph(CONFIG, 0).strength
    found = judged(strength.T)
    assert found["skeleton_ap"] == 1 and found["skeleton_shd"] == 0
    assert found["shd"] == (strength > 0).sum() and found["precision"] == found["recall"] == 0


def test_a_symmetric_relation_is_scored_without_directions():
    found = judged(np.maximum(strength := make_graph(CONFIG, 0).strength, strength.T))
    assert found["skeleton_ap"] == 1 and not {"ap", "shd", "precision", "recall"} & set(found)


def test_companions_are_spurious():
    graph = make_graph(CONFIG, 0)
    found = judged(graph.companions * 1.0)
    assert found["spurious"] == 1 and found["skeleton_precision"] == 0
    assert found["skeleton_shd"] == graph.companions.sum() / 2 + graph.edges.sum()


def test_a_relation_of_nothing_finds_nothing():
    found = judged(np.zeros((12, 12)))
    truth = GraphTruth(CONFIG, catalogue(), 0)
    assert found["skeleton_shd"] == truth.chance()["skeleton_shd"] == make_graph(CONFIG, 0).edges.sum()
    assert found["skeleton_ap"] == pytest.approx(truth.chance()["skeleton_ap"])
    assert np.isnan(found["skeleton_precision"])


def test_the_mean_is_over_the_sequences_that_hold_both():
    """Items 1 and 2 are together in two sequences, once in two pairs of events: (0.3 + (0.5 + 0.1) / 2) / 2."""
    truth = GraphTruth(CONFIG, catalogue(), 0)
    items = np.array([[1, 2, 0], [1, 2, 1], [1, 3, 3]])
    relation = np.zeros((3, 3, 3), np.float32)
    relation[0, 1, 0], relation[1, 1, 0], relation[1, 1, 2], relation[2, 1, 0] = 0.3, 0.5, 0.1, 9
    truth.observe(items, {"relation": relation}, None)
    mean = truth.total / np.maximum(truth.sequences, 1)
    assert mean[1, 0] == pytest.approx(0.3) and mean[0, 1] == 0 and truth.sequences[1, 0] == 2
    assert mean[2, 0] == pytest.approx(4.5)  # of one sequence, whose second pair is 0


def test_items_without_events_are_left_out_of_the_graph():
    truth = GraphTruth(CONFIG, catalogue([2, 5, 9]), 0)
    assert np.array_equal(truth.edges, make_graph(CONFIG, 0).edges[np.ix_([1, 4, 8], [1, 4, 8])])


def causal_attention(items, weight):
    """Rows of weights (B, T, T) over the events up to each one, which sum to 1."""
    weight = weight * np.tri(items.shape[1]) * (items > 0)[:, None, :]
    total = weight.sum(axis=2, keepdims=True)
    return (weight / np.where(total == 0, 1, total))[None].astype(np.float32)


def test_even_attention_is_chance():
    items, truth = rows(), GraphTruth(CONFIG, catalogue(), 0)
    found = judged(None, items, causal_attention(items, np.ones((1, 10, 10))), truth)
    for name in ("attention_own", "attention_next"):
        assert found[name] == pytest.approx(truth.chance()[name], rel=1e-5)
    assert set(found) == {"attention_own", "attention_next"}


def test_attention_on_causes_alone_is_one():
    items, edges = rows(), make_graph(CONFIG, 0).edges
    own = relation_of(items, edges)
    assert judged(None, items, causal_attention(items, own))["attention_own"] == pytest.approx(1)
    after = np.concatenate((own[:, 1:], own[:, :1]), axis=1)
    found = judged(None, items, causal_attention(items, after))
    assert found["attention_next"] == pytest.approx(1) and found["attention_own"] < 0.9


def test_attention_in_both_directions_may_lie_on_later_events():
    items, edges = rows(), make_graph(CONFIG, 0).edges
    weight = relation_of(items, edges)
    total = weight.sum(axis=2, keepdims=True)
    weight = (weight / np.where(total == 0, 1, total))[None]
    assert np.triu(weight[0], 1).any()
    assert judged(None, items, weight)["attention_own"] == pytest.approx(1)


def test_only_the_last_layer_counts():
    items = rows()
    one, two = (causal_attention(items, np.random.default_rng(seed).random((300, 10, 10))) for seed in (0, 1))
    assert judged(None, items, np.concatenate((one, two))) == judged(None, items, two)


def test_rows_in_parts_and_in_any_order_are_the_same():
    items, draw = rows(), np.random.default_rng(3)
    relation, attention = draw.normal(size=(300, 10, 10)).astype(np.float32), draw.random((300, 10, 10))
    relation *= (items > 0)[:, None, :] & (items > 0)[:, :, None]
    attention = causal_attention(items, attention)
    whole, parts = (GraphTruth(CONFIG, catalogue(), 0) for _ in range(2))
    whole.observe(items, {"relation": relation}, attention)
    order = draw.permutation(300)
    for some in (order[:17], order[17:]):
        parts.observe(items[some], {"relation": relation[some]}, attention[:, some])
    assert parts.metrics() == pytest.approx(whole.metrics(), rel=1e-5)


def test_no_row_no_figure():
    truth = GraphTruth(CONFIG, catalogue(), 0)
    assert truth.metrics() == {} and np.isnan(truth.chance()["attention_own"])


def test_truth_comes_with_the_data_set(tmp_path):
    config = CausalConfig(n_users=40, events=9)
    found = prepare(SPEC, config, DataContext(cache=tmp_path, seed=4))
    truth = SPEC.truth(config, found.catalogue, 4)
    ids = found.catalogue.item_ids[1:] - 1
    assert np.array_equal(truth.edges, make_graph(config, 4).edges[np.ix_(ids, ids)])
    assert {spec.name for spec in benchbase_datasets() if spec.truth} == {"causal", "domains"}
