"""Explanations: the evidence is taken away from what the model reads and from nothing else, and its worth is what the
model says then.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchbase.data import Explainer, Explanation
from benchbase.errors import PluginError, Refusal
from benchbase.evaluate import explain, rank
from benchbase.nn import Modifier
from benchbase.specs import ExplainerSpec, ModifierSpec
from benchbase.testing.build import make_experiment
from benchbase.testing.probes import probe_prefix, probe_recent
from benchbase.testing.tiny import (
    PlaceConfig,
    tiny_bce,
    tiny_bidirectional,
    tiny_causal,
    tiny_explainer,
    tiny_pointwise,
    tiny_recurrent,
    tiny_softmax,
)
from benchbase.testing.world import tiny_world
from benchbase.train import fit


def walks(n_users=24, length=9, n_items=30):
    """The tiny world, in which each item is now followed by the next number."""
    world = tiny_world(n_users=n_users, n_items=n_items)
    interactions = world.interactions
    offsets = interactions.offsets
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    item = ((3 * user + place) % n_items + 1).astype(np.int32)
    return replace(world, interactions=replace(interactions, item=item))


def trained(backbone=tiny_causal, epochs=60, explainers=(tiny_explainer,), **keys):
    experiment = make_experiment(
        (backbone, {"width": 16}), objectives=[tiny_softmax], explainers=explainers,
        train={"epochs": epochs, "lr": 0.02, "patience": 0}, **keys)
    fit(experiment)
    return experiment, rank(experiment, "test", 10)


def test_the_last_event_of_a_walk_says_all_and_an_early_one_nothing():
    first = replace(tiny_explainer, name="first")
    experiment, ranking = trained(world=walks(), explainers=[tiny_explainer, (first, PlaceConfig(place=0))],
                                  protocol={"filter_seen": "none", "window": 8})
    found = explain(experiment, ranking)
    told = found.figures
    assert told["tiny_explainer.comprehensiveness"] > 0.5 > 0.2 > told["first.comprehensiveness"]
    assert told["tiny_explainer.sufficiency"] > 0.8 and told["first.sufficiency"] < 0.4
    assert told["tiny_explainer.events"] == 1 and told["tiny_explainer.named"] == 1
    for name, chance in found.chance.items():
        assert 0 <= chance <= 1 and name.startswith(("first.", "tiny_explainer."))
    assert found.chance["first.sufficiency"] == found.chance["tiny_explainer.sufficiency"]  # the same draws
    assert len(found.table["user"]) == 2 * 24 and set(found.table["explainer"]) == {"first", "tiny_explainer"}


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional, tiny_pointwise, tiny_recurrent])
@pytest.mark.parametrize("layout", ["items", "interleaved"])
@pytest.mark.parametrize("filter_seen", ["history", "none"])
def test_ranks_without_and_alone_are_those_of_a_batch_cut_by_hand(backbone, layout, filter_seen):
    if backbone is tiny_bidirectional and layout != "items":
        return
    experiment, ranking = trained(backbone, epochs=3, layout=layout,
                                  protocol={"filter_seen": filter_seen, "window": 6},
                                  modifiers=[probe_prefix] if backbone is tiny_causal else [])
    table = explain(experiment, ranking).table
    interactions = experiment.data.prepared.interactions
    places = dict(zip(ranking.user.tolist(), range(len(ranking)), strict=True))
    most = 5 if backbone is tiny_bidirectional else 6
    for line, user in enumerate(table["user"]):
        start, event = interactions.offsets[user], table["event"][line]
        past = np.arange(max(0, event - most), event)
        assert table["events"][line].tolist() == [event - 1]
        assert table["item"][line] == ranking.top_items[places[int(user)], 0]
        seen = set(interactions.item[start : start + event].tolist()) if filter_seen == "history" else set()
        for kept, rank_given in ((past[:-1], table["without"][line]), (past[-1:], table["alone"][line])):
            scores = score_by_hand(experiment, int(user), start + kept, start + event)
            own = scores[table["item"][line] - 1]
            above = sum(float(score) > float(own) for item, score in enumerate(scores, 1) if item not in seen)
            assert 1 / rank_given == pytest.approx(1 + above, abs=0.6)


def score_by_hand(experiment, user, kept, target):
    """Scores of all items after these events, out of the feed's own batch of the whole, cut column by column."""
    feed, interactions = experiment.feed, experiment.data.prepared.interactions
    chunk = next(feed.score_batches(np.array([target]), 1))
    batch, first = chunk.batch, int(feed.read(np.array([target])).start[0])
    columns = [int(each) - first for each in kept]
    if feed.config.masked:
        columns.append(int(batch.lengths[0]) - 1)  # what is hidden, and asked for
    times = interactions.timestamp
    asked = [*times[kept[1:]], times[target]] + ([times[target]] if feed.config.masked else [])
    cut = {name: getattr(batch, name)[:, columns] for name in
           ("items", "timestamps", "domains", "actions", "features", "hide_item", "hide_action", "candidate")}
    batch = replace(batch, lengths=torch.tensor([len(columns)]), query_times=torch.tensor([asked]), **cut)
    targets = replace(chunk.targets, event=torch.tensor([len(columns) - 1 if feed.config.masked else len(columns)]))
    model = experiment.model.eval()
    with torch.no_grad():
        output = model.output(model.encode(batch, "score"), batch, targets, "score")
        return output.scorer.scores(output.states)[0]


def test_everybody_is_asked_of_the_same_users_and_nothing_else_moves():
    plain, with_it = trained(explainers=()), trained()
    assert (plain[1].above == with_it[1].above).all() and explain(*plain) is None
    first, again = explain(*with_it), explain(*with_it)
    assert first.figures == again.figures and first.table["text"] == again.table["text"]
    other = explain(*trained(epochs=1, seed=5))
    assert (other.table["user"] == first.table["user"]).all()


def test_what_an_explainer_is_shown():
    shown = []

    class Looking(Explainer):
        def explain(self, recommendation):
            shown.append(recommendation)
            return Explanation((0,), "x")

    looking = ExplainerSpec(name="looking", config=PlaceConfig, build=lambda config, context: Looking(), source="tests")
    for backbone in (tiny_causal, tiny_bidirectional, tiny_pointwise, tiny_recurrent):
        shown.clear()
        experiment, ranking = trained(backbone, epochs=2, explainers=[looking], protocol={"window": 6})
        explain(experiment, ranking)
        assert len(shown) == (ranking.event >= 2).sum() > 10
        vectors = experiment.model.scorer.vectors(source=experiment.model.items("score")).detach()
        for given in shown:
            n = len(given.past)
            assert 2 <= n <= 6 and given.past.dtype == np.int32 and given.times.dtype == np.int64
            expected = torch.nn.functional.cosine_similarity(vectors[given.past - 1], vectors[given.item - 1], dim=-1)
            np.testing.assert_allclose(given.similarity, expected.numpy(), atol=1e-5)
            for array in (given.past, given.times, given.similarity):
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = 1
            if backbone in (tiny_pointwise, tiny_recurrent):
                assert given.attention is None
            else:
                assert given.attention.shape == (n,) and (given.attention > 0).all()
                total = given.attention.sum()
                assert total < 1 if backbone is tiny_bidirectional else total == pytest.approx(1, abs=1e-5)


def broken(**said):
    class Broken(Explainer):
        def explain(self, recommendation):
            return said["whole"] if "whole" in said else Explanation(**{"events": (0,), "text": "x"} | said)

    return ExplainerSpec(name="broken", config=PlaceConfig, build=lambda config, context: Broken(), source="tests")


@pytest.mark.parametrize(("said", "message"), [
    ({"whole": "a text"}, r"explainer broken: explain returned a str\. Expected a benchbase\.data\.Explanation\."),
    ({"events": (99,)}, r"its evidence is \(99,\) of \d+ events\. Expected a tuple of places from 0 to \d+\."),
    ({"events": (-1,)}, r"its evidence is \(-1,\) of"),
    ({"events": (0.5,)}, r"its evidence is \(0\.5,\) of"),
    ({"events": None}, r"its evidence is None of"), ({"events": 3}, r"its evidence is 3 of"),
    ({"events": ()}, r"its evidence is \(\) of \d+ events\. Expected some, each once, and not all\."),
    ({"events": (0, 0)}, r"its evidence is \(0, 0\) of \d+ events\. Expected some, each once, and not all\."),
    ({"events": tuple(range(6))}, r"Expected some, each once, and not all|Expected a tuple of places from 0"),
    ({"features": (("genre", "z"),)}, r"it names \('genre', 'z'\), which the item is not\. Expected a tuple of "
     r"categories of the item, as \(column, label\)\."),
    ({"features": (1,)}, r"it names 1, which the item is not"), ({"features": "genre"}, r"it names 'genre', which"),
    ({"text": " "}, r"its text is ' '\. Expected one line of printable text, of at most 1000 characters\."),
    ({"text": "x" * 1001}, r"its text is 'x+\. Expected one line"),
    ({"text": "one\ntwo"}, r"its text is 'one\\ntwo'\. Expected one line"),
    ({"text": None}, r"its text is None\. Expected one line"),
])
def test_explanations_that_break_the_contract(said, message):
    experiment, ranking = trained(epochs=1, explainers=[broken(**said)], protocol={"window": 6})
    with pytest.raises(PluginError, match=message):
        explain(experiment, ranking)


def test_a_sentence_that_names_others_is_counted():
    experiment, ranking = trained(epochs=1, explainers=[broken(text="“somebody else”")])
    assert explain(experiment, ranking).figures["broken.named"] == 0


def test_users_of_whom_one_event_is_read_are_left_out():
    experiment, ranking = trained(epochs=1, protocol={"window": 1})
    assert explain(experiment, ranking) is None


@pytest.mark.parametrize(("keys", "message"), [
    ({"compressor": probe_recent}, r"^tiny_explainer \+ probe_recent: a token of the history stands for more "
     r"than one event\. Expected no compressor, or no explainers\.$"),
    ({"protocol": {"tasks": ["action"], "metrics": ["auc"]}, "objectives": [tiny_bce]},
     r"^tiny_explainer \+ tasks \[action\]: an explainer says why an item is recommended\. Expected tasks: "
     r"\[next_item\]\.$"),
    ({"protocol": {"split": "prequential"}}, r"^tiny_explainer \+ split prequential: the model goes on learning from "
     r"what it is asked\. Expected another split\.$"),
    ({"explainers": [tiny_explainer, tiny_explainer]}, r"tiny_explainer: it stands in one configuration twice"),
])
def test_what_explainers_do_not_fit(keys, message):
    with pytest.raises(Refusal, match=message):
        make_experiment(tiny_causal, **{"objectives": [tiny_softmax], "explainers": [tiny_explainer]} | keys)


def test_what_is_no_explainer_is_refused():
    spec = ExplainerSpec(name="none", config=PlaceConfig, build=lambda config, context: object(), source="tests")
    experiment, ranking = trained(epochs=1, explainers=[spec])  # built once all is ranked
    with pytest.raises(PluginError, match=r"explainer none: build returned a object\. Expected a benchbase\.data\."
                       r"Explainer\. Derive its class from it\."):
        explain(experiment, ranking)


def test_where_all_items_are_level_nothing_changes_when_evidence_goes():
    experiment, ranking = trained(epochs=1, protocol={"filter_seen": "none"})
    with torch.no_grad():
        experiment.model.embedding.table.zero_()
    found = explain(experiment, rank(experiment, "test", 10))
    level = sum(1 / place for place in range(1, 31)) / 30  # the expectation over random order
    assert found.figures["tiny_explainer.comprehensiveness"] == 0 == found.chance["tiny_explainer.comprehensiveness"]
    assert found.figures["tiny_explainer.sufficiency"] == pytest.approx(level)
    assert found.table["whole"].tolist() == pytest.approx([level] * len(found.table["whole"]))
    assert len(ranking)


@pytest.mark.parametrize(("backbone", "layout"), [
    (tiny_causal, "items"), (tiny_causal, "interleaved"), (tiny_causal, "stacked"), (tiny_bidirectional, "items")])
def test_attention_is_that_of_the_state_that_asks(backbone, layout):
    """Where that state is moved to attend to one event alone, so does what explainers are shown."""
    shown = []

    class Looking(Explainer):
        def explain(self, recommendation):
            shown.append(recommendation)
            return Explanation((0,), "x")

    class Narrow(Modifier):
        def bias(self, ctx, layer):
            tokens = ctx.tokens
            asks = torch.arange(tokens.x.shape[1]) == tokens.x.shape[1] - 1  # of rows that are full
            return 100.0 * (asks[:, None] & (tokens.event[:, None, :] == 2))[:, None]

    looking = ExplainerSpec(name="looking", config=PlaceConfig, build=lambda config, context: Looking(), source="tests")
    narrow = ModifierSpec(name="narrow", config=PlaceConfig, build=lambda config, context: Narrow(), source="tests",
                          sites=frozenset({"bias"}))
    experiment, ranking = trained(backbone, epochs=1, explainers=[looking], modifiers=[narrow], layout=layout,
                                  protocol={"window": 6})
    explain(experiment, ranking)
    most = 5 if backbone is tiny_bidirectional else 6
    full = [given for given in shown if len(given.past) == most]
    assert len(full) > 5
    for given in full:
        np.testing.assert_allclose(given.attention, np.eye(most, dtype=np.float32)[2], atol=1e-6)
