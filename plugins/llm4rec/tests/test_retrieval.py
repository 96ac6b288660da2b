"""Retrieval: the contract, the laws of the score, and that nothing newer than a query is ever read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchbase_llm4rec import benchbase_modifiers, needs_of_retrieval, refuse_retrieval
from benchbase_llm4rec.config import RetrievalConfig
from benchbase_llm4rec.memory import moments
from benchbase_llm4rec.retrieval import DAY, Retrieval

from benchbase.data.sequences import Events
from benchbase.testing.contracts import ModifierContract
from benchbase.testing.world import tiny_context, tiny_world

pytest.importorskip("sklearn.decomposition")  # to import it moves Python's own generator

SPEC, = benchbase_modifiers()
N = 30
WORDS = ("red", "green", "blue", "old", "new", "house", "tree", "river", "night", "day")
TITLE = {"text": ("title",)}


def context_of(train=None):
    """The tiny world, whose items have titles, but for every seventh; other training events where given."""
    random, context = np.random.default_rng(3), tiny_context()
    titles = ["" if item % 7 == 0 else " ".join(random.choice(WORDS, 3)) for item in range(N + 1)]
    catalogue = replace(context.catalogue, columns={**context.catalogue.columns, "title": np.array(titles, object)})
    return replace(context, catalogue=catalogue, width=8, **({} if train is None else {"train": lambda: train}))


def part(train=None, **config):
    torch.manual_seed(0)
    return Retrieval(RetrievalConfig(**TITLE, **config), context_of(train)).double()


class Contract(ModifierContract):
    spec = SPEC
    neutral = RetrievalConfig(**TITLE, k=0)

    def context(self):
        return context_of()


class TestRetrieval(Contract):
    config = RetrievalConfig(**TITLE, k=3)


class TestWithoutTimes(Contract):
    config = RetrievalConfig(**TITLE, k=20, decay=0, credibility=0, recency=1.0)


class TestMoreThanThereIs(Contract):
    config = RetrievalConfig(**TITLE, k=20, decay=1.0, credibility=100.0, temperature=1.0)


def events(items, times):
    return Events(np.array([0, len(items)]), np.array(items, np.int32), np.array(times, np.int64),
                  np.zeros((len(items), 0), np.float32))


def slow_rho(made, query, time, train, config):
    """rho of every item (n_items,), by the formula, from the training events before the moment that the query is of."""
    moment = made.begins[made.begins <= time].max() if (made.begins <= time).any() else None
    rho = np.zeros(N)
    for j in range(N):
        cosine = float(query @ made.texts[j])
        times = [] if moment is None else [t for i, t in zip(train.item, train.timestamp, strict=True)
                                           if i == j + 1 and t < moment]
        if not times or not made.texts[j].any():
            continue
        rho[j] = (1 + cosine) / 2 * np.exp(-(time - max(times)) / (config.decay * DAY)) \
            * len(times) / (len(times) + config.credibility)
    return rho


def test_scores_are_those_of_the_formula():
    config = RetrievalConfig(**TITLE, k=4, decay=20.0, credibility=2.0)
    train = context_of().train()
    made = part(k=4, decay=20.0, credibility=2.0)
    items = torch.tensor([[3, 8, 0, 12], [5, 0, 0, 0]])
    queries = made.queries(items)
    by_hand = sum(0.8 ** ago * made.texts[item - 1] for item, ago in ((3, 3), (8, 2), (12, 0)))
    torch.testing.assert_close(queries[0, 3], by_hand / by_hand.norm())
    times = torch.from_numpy(np.quantile(train.timestamp, [0.0, 0.2, 0.5, 1.0]).astype(np.int64)) + 1
    found, rho = made.search(queries[0], times)
    for place in range(4):
        slow = slow_rho(made, queries[0, place], int(times[place]), train, config)
        np.testing.assert_allclose(made.scores(queries[:1, place], times[[place]]).exp()[0].numpy(), slow, atol=1e-6)
        best = np.sort(slow)[::-1][:4]
        np.testing.assert_allclose(rho[place].numpy(), best, atol=1e-6)
        np.testing.assert_allclose(slow[found[place].numpy()], best, atol=1e-6)


def test_nothing_newer_than_the_query_has_a_say():
    """Events at the moment of a query and after it, of whatever items, change no score of it."""
    random = np.random.default_rng(0)
    times = np.sort(random.integers(0, 100 * DAY, 300))
    items = random.integers(1, N + 1, 300)
    query = torch.nn.functional.normalize(torch.randn(1, part().texts.shape[1], dtype=torch.float64), dim=-1)
    for asked in (times[50], times[150] + 1, times[299]):
        other = np.where(times >= asked, items % N + 1, items)
        assert (other != items).any()
        later = np.where(times > asked, times + 7 * DAY, times)
        when = torch.tensor([asked])
        first, second = (part(events(i, t)).scores(query, when) for i, t in ((items, times), (other, later)))
        for scores in (first, second):  # moments lie elsewhere, so that each knows what it knows, and no later event
            met = set(items[times < asked].tolist())
            known = set((scores[0] > -torch.inf).nonzero().flatten().add(1).tolist())
            assert known <= met and known
    same_times = [part(events(i, times)).scores(query, torch.tensor([times[150]])) for i in
                  (items, np.where(times >= times[150], items % N + 1, items))]
    torch.testing.assert_close(*same_times, atol=0, rtol=0)


def test_before_the_first_event_nothing_is_known():
    made = part()
    first = int(context_of().train().timestamp.min())
    found, rho = made.search(made.queries(torch.tensor([[1]]))[0], torch.tensor([first]))
    assert not rho.any()
    h = torch.randn(1, 1, 8, dtype=torch.float64)
    assert not made.read(h, found[None], rho[None], 1).any()


def test_without_decay_and_credibility_the_order_is_that_of_the_cosine():
    made = part(k=20, decay=0, credibility=0)
    queries = made.queries(torch.tensor([[1, 2, 3]]))[0]
    found, rho = made.search(queries, torch.zeros(3, dtype=torch.int64))
    cosine = queries @ made.texts.T
    cosine[:, ~made.texts.any(1)] = -2
    for row in range(3):
        np.testing.assert_allclose(cosine[row, found[row]].numpy(), np.sort(cosine[row].numpy())[::-1][:20], atol=1e-12)
        torch.testing.assert_close(rho[row], (1 + cosine[row, found[row]]) / 2)


def test_a_greater_age_and_fewer_events_lower_the_score():
    made = part(events([1, 2, 2, 2], [0, 0, 0, 0]), credibility=5.0, decay=30.0)
    query = made.queries(torch.tensor([[1]]))[0]
    young, old = (made.scores(query, torch.tensor([days * DAY])).exp()[0] for days in (10, 20))
    assert (old[:2] < young[:2]).all()
    torch.testing.assert_close(old[0] / young[0], torch.tensor(np.exp(-10 / 30)), atol=1e-6, rtol=0)
    share = young / (0.5 + 0.5 * (query @ made.texts.T)[0])
    torch.testing.assert_close(share[1] / share[0], torch.tensor((3 / 8) / (1 / 6), dtype=torch.float64), atol=1e-5,
                               rtol=0)


def test_moments_know_less_or_the_same_and_never_more():
    train = tiny_context().train()
    begins, table = moments(train, N, 30.0 * DAY, 5.0)
    assert (np.diff(begins) > 0).all() and table.shape == (len(begins), N)
    assert np.isneginf(table[0]).all() and begins[-1] == train.timestamp.max() + 1
    assert (np.isneginf(table[1:]) <= np.isneginf(table[:-1])).all()
    n = np.bincount(train.item - 1, minlength=N)
    last = np.array([train.timestamp[train.item == item].max() for item in range(1, N + 1)]) - begins[0]
    np.testing.assert_allclose(table[-1], np.log(n / (n + 5.0)) + last / (30 * DAY), rtol=1e-5)


def test_an_empty_past_and_one_of_one_moment():
    begins, table = moments(events([], []), 3, 0.0, 5.0)
    assert len(begins) == 1 and np.isneginf(table).all()
    begins, table = moments(events([2, 2], [7, 7]), 3, 0.0, 2.0)
    assert begins.tolist() == [7, 8] and np.isneginf(table[0]).all()
    np.testing.assert_allclose(table[1], [-np.inf, np.log(0.5), -np.inf])
    assert tiny_world().catalogue.has_time


def test_entries_are_read_as_attention_from_their_weights():
    made = part(k=3)
    random = torch.Generator().manual_seed(0)
    h = torch.randn(1, 2, 8, dtype=torch.float64, generator=random)
    found, rho = torch.tensor([[[0, 4, 9]]]), torch.tensor([[[0.9, 0.5, 0.0]]], dtype=torch.float64)
    read = made.read(h, found, rho, 2)
    for token in range(2):
        scores = torch.stack([made.of_query(h[0, token]) @ made.of_key(made.texts[j]) / 8**0.5 + w / 0.1
                              for j, w in ((0, 0.9), (4, 0.5))])
        share = scores.softmax(0)
        by_hand = sum(share[n] * made.of_value(made.texts[j]) for n, j in enumerate((0, 4)))
        torch.testing.assert_close(read[0, token], torch.sigmoid(made.gate) * by_hand)


@pytest.mark.parametrize(("config", "message"), [
    ({}, "retrieval.text: it names no column. Expected some. The data set has text: title; numbers: year; categories: "
         "genre."),
    ({"text": ("year",)}, "retrieval.text: the column year holds numbers. Expected text. The data set has text: title; "
                          "numbers: year; categories: genre."),
    ({"text": ("title",)}, None),
    ({"k": 0}, None),
])
def test_what_cannot_be_retrieved(config, message):
    assert refuse_retrieval(RetrievalConfig(**config), context_of()) == message


def test_times_are_needed_where_they_are_read():
    assert needs_of_retrieval(RetrievalConfig(**TITLE)).time
    assert needs_of_retrieval(RetrievalConfig(**TITLE, decay=0)).time
    assert not needs_of_retrieval(RetrievalConfig(**TITLE, decay=0, credibility=0)).time
    assert not needs_of_retrieval(RetrievalConfig(k=0)).time
