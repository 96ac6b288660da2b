"""Draws are pure functions of what they are for, and follow the laws they claim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from benchbase.data import draws
from benchbase.data.draws import (
    MixedLaw,
    PopularityLaw,
    UniformLaw,
    derive_seed,
    draw_items,
    hidden_events,
    make_law,
    mix,
    negatives_key,
    shuffled,
    uniform,
)
from benchbase.specs import Negatives

MANY = 200_000
LEAST_P = 1e-4
"""Draws are seeded, so a law is either met or not; a wrong one gives p = 0 at this size."""


def keys(n, seed=7):
    return mix(np.full(n, seed, np.uint64), np.arange(n))


def counts_of(items, n_items):
    assert items.min() >= 1 and items.max() <= n_items
    return np.bincount(items.ravel(), minlength=n_items + 1)[1:]


def test_a_seed_depends_on_every_word_and_on_where_one_ends():
    seeds = [derive_seed(1, "a", "bc"), derive_seed(1, "ab", "c"), derive_seed(2, "a", "bc"), derive_seed(1, "a"),
             derive_seed(1, "a", 1), derive_seed(1, "a", 11)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, "a", "bc") == seeds[0]


def test_uniform_numbers_are_uniform_and_below_one():
    u = uniform(keys(MANY))
    assert u.min() >= 0 and u.max() < 1
    assert chisquare(np.bincount((u * 100).astype(int), minlength=100)).pvalue > LEAST_P
    largest = uniform(np.array([2**64 - 1], np.uint64))
    for n in (1, 3, 3_417, 2**31 - 1, 10**12 + 39):
        assert (largest * n).astype(np.int64)[0] == n - 1


@pytest.mark.parametrize("value", [0, 1])
def test_neighbouring_keys_and_values_are_independent(value):
    first, second = uniform(mix(keys(MANY), value)), uniform(mix(keys(MANY), value + 1))
    cells = np.bincount((first * 10).astype(int) * 10 + (second * 10).astype(int), minlength=100)
    assert chisquare(cells).pvalue > LEAST_P


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_a_shuffle_is_a_permutation_that_its_seed_decides(n):
    assert sorted(shuffled(n, 3)) == list(range(n))
    assert np.array_equal(shuffled(n, 3), shuffled(n, 3))
    assert n < 2 or not np.array_equal(shuffled(1000, 3), shuffled(1000, 4))


def test_every_place_of_a_shuffle_is_uniform():
    first = np.array([shuffled(8, seed)[0] for seed in range(8_000)])
    assert chisquare(np.bincount(first, minlength=8)).pvalue > LEAST_P


@pytest.mark.parametrize("count", [1, 3, 7, 40])
def test_items_drawn_in_blocks_are_those_drawn_at_once(monkeypatch, count):
    law, avoid = UniformLaw(50), np.arange(1, 31)
    at_once = draw_items(law, keys(30), count, avoid)
    monkeypatch.setattr(draws, "DRAWS", 20)
    assert np.array_equal(draw_items(law, keys(30), count, avoid), at_once)
    assert draw_items(law, keys(0), count).shape == (0, count)


def test_the_uniform_law_is_uniform():
    items = draw_items(UniformLaw(50), keys(MANY // 4), 4)
    assert chisquare(counts_of(items, 50)).pvalue > LEAST_P
    assert np.allclose(np.exp(UniformLaw(50).log_p), 1 / 50)


def test_the_popularity_law_is_proportional_to_counts_and_never_draws_the_unseen():
    counts = np.array([0, 5, 0, 1, 40, 100, 0])
    items = draw_items(PopularityLaw(counts), keys(MANY // 4), 4)
    drawn = counts_of(items, 6)
    assert drawn[[1, 5]].sum() == 0
    seen = counts[1:] > 0
    assert chisquare(drawn[seen], counts[1:][seen] / counts.sum() * MANY).pvalue > LEAST_P
    assert np.allclose(np.exp(PopularityLaw(counts).log_p), counts / counts.sum())


SKEWED = np.array([0, 1, 0, 3, 10_000, 2])


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_the_mixed_law_is_popularity_for_its_share_and_uniform_for_the_rest(mix):
    law = MixedLaw(SKEWED, mix)
    odds = mix * SKEWED[1:] / SKEWED.sum() + (1 - mix) / 5
    drawn = counts_of(draw_items(law, keys(MANY // 4), 4), 5)
    possible = odds > 0
    assert drawn[~possible].sum() == 0
    assert chisquare(drawn[possible], odds[possible] * MANY).pvalue > LEAST_P
    assert np.allclose(np.exp(law.log_p[1:]), odds) and np.exp(law.log_p[0]) == 0


@pytest.mark.parametrize(("mix", "law"), [(0.0, UniformLaw(5)), (1.0, PopularityLaw(SKEWED))])
def test_a_mixture_of_one_law_is_that_law(mix, law):
    for avoid in (None, np.arange(900) % 5 + 1):
        mixed = draw_items(MixedLaw(SKEWED, mix), keys(900), 3, avoid)
        assert np.array_equal(mixed, draw_items(law, keys(900), 3, avoid))
    assert np.allclose(MixedLaw(SKEWED, mix).log_p[1:], law.log_p[1:])


@pytest.mark.parametrize("law", [UniformLaw(5), PopularityLaw(SKEWED), MixedLaw(SKEWED, 0.4)])
@pytest.mark.parametrize("avoid", [1, 3, 4, 5])
def test_an_avoided_item_is_never_drawn_and_the_others_keep_their_odds(law, avoid):
    """The popular item has all but six of ten thousand draws: rejection would hardly ever leave it."""
    items = draw_items(law, keys(MANY // 4), 4, np.full(MANY // 4, avoid))
    drawn = counts_of(items, 5)
    odds = np.exp(law.log_p[1:].astype(np.float64))
    odds[avoid - 1] = 0
    assert drawn[odds == 0].sum() == 0
    if (odds > 0).sum() > 1:
        wanted = odds / odds.sum() * MANY
        assert chisquare(drawn[odds > 0], wanted[odds > 0]).pvalue > LEAST_P


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any), st.data())
def test_whatever_the_counts_only_possible_items_come(counts, data):
    law = PopularityLaw(np.array([0, *counts]))
    mixed = MixedLaw(law.counts, data.draw(st.sampled_from([0.0, 0.5, 1 - 2.0**-53])))
    avoid = data.draw(st.integers(1, len(counts)))
    u = np.concatenate([uniform(keys(64)), [0.0, 1 - 2.0**-53]])[:, None]
    items = law.pick(u, np.full((len(u), 1), avoid))
    possible = {i for i, c in enumerate(counts, 1) if c} - {avoid}
    assert set(items.ravel()) <= (possible or {avoid})
    every = set(range(1, len(counts) + 1)) - {avoid}
    assert set(mixed.pick(u, np.full((len(u), 1), avoid)).ravel()) <= (every or {avoid})


def test_a_law_with_one_item_gives_it_even_if_it_is_to_be_avoided():
    assert (draw_items(UniformLaw(1), keys(9), 2, np.ones(9, np.int64)) == 1).all()
    assert (draw_items(PopularityLaw(np.array([0, 0, 7])), keys(9), 2, np.full(9, 2)) == 2).all()
    assert (draw_items(MixedLaw(np.array([0, 7]), 0.5), keys(9), 2, np.ones(9, np.int64)) == 1).all()
    assert (draw_items(MixedLaw(np.array([0, 0, 7]), 1.0), keys(9), 2, np.full(9, 2)) == 2).all()


def test_draws_do_not_depend_on_what_is_drawn_beside_them():
    law, key, avoid = PopularityLaw(np.arange(20)), keys(100), np.arange(100) % 19 + 1
    together = draw_items(law, key, 5, avoid)
    alone = np.concatenate([draw_items(law, key[i : i + 1], 5, avoid[i : i + 1]) for i in range(100)])
    assert np.array_equal(together, alone)
    assert np.array_equal(draw_items(law, key, 3, avoid), together[:, :3])


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=10), st.floats(0.001, 0.999), st.integers(0, 2**32))
def test_every_row_hides_an_event_and_only_events(lengths, rate, seed):
    lengths = np.array(lengths)
    able = np.arange(12) < lengths[:, None]
    hidden = hidden_events(keys(len(lengths) * 12, seed).reshape(-1, 12), able, rate)
    assert (hidden.sum(1) >= (lengths > 0)).all()
    assert not (hidden & ~able).any()


def test_hidden_events_are_as_many_as_the_rate_says():
    key = keys(MANY).reshape(-1, 200)
    share = hidden_events(key, np.ones_like(key, bool), 0.2).mean()
    assert abs(share - 0.2) < 5 * np.sqrt(0.16 / MANY)


def test_the_event_hidden_for_want_of_others_is_uniform():
    key = keys(MANY).reshape(-1, 5)
    hidden = hidden_events(key, np.ones_like(key, bool), 1e-9)
    assert (hidden.sum(1) == 1).all()
    assert chisquare(hidden.sum(0)).pvalue > LEAST_P


def test_hidden_events_do_not_depend_on_padding_or_company():
    key, lengths = keys(300).reshape(30, 10), np.arange(30) % 10 + 1
    together = hidden_events(key, np.arange(10) < lengths[:, None], 0.3)
    for row in range(30):
        n = lengths[row]
        alone = hidden_events(key[row : row + 1, :n], np.ones((1, n), bool), 0.3)
        assert np.array_equal(alone[0], together[row, :n])


def test_requests_that_ask_alike_are_given_alike():
    assert negatives_key(1, Negatives(count=2)) == negatives_key(1, Negatives(count=2))
    different = [Negatives(count=2), Negatives(count=3), Negatives(count=2, law="popularity"),
                 Negatives(count=2, scope="batch"), Negatives(count=2, law="in_batch", scope="batch"),
                 Negatives(count=2, law="mixed"), Negatives(count=2, law="mixed", mix=0.4)]
    assert len({negatives_key(1, request) for request in different} | {negatives_key(2, different[0])}) == 8
    assert negatives_key(1, Negatives(count=2, mix=0.4)) == negatives_key(1, Negatives(count=2))


def test_draws_of_old_are_still_the_same():
    """Numbers of runs that were made: a change here makes all of them other runs."""
    assert negatives_key(1, Negatives(count=2)) == derive_seed(1, "negatives", 2, "uniform", "position")
    assert draw_items(UniformLaw(50), keys(2), 4, np.array([3, 40])).tolist() == [[40, 34, 49, 47], [17, 44, 47, 49]]
    assert draw_items(PopularityLaw(np.arange(20)), keys(2), 4).tolist() == [[17, 16, 19, 19], [11, 18, 19, 19]]


def test_each_law_has_its_name():
    kinds = {law: type(make_law(Negatives(count=1, law=law, scope="batch"), SKEWED))
             for law in ("uniform", "popularity", "in_batch", "mixed")}
    assert kinds == {"uniform": UniformLaw, "popularity": PopularityLaw, "in_batch": PopularityLaw, "mixed": MixedLaw}
    assert make_law(Negatives(count=1, law="mixed", mix=0.2), SKEWED).mix == 0.2

