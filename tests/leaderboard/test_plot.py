"""The plot of accuracy against cost: what it shows, the same bytes each time, and no label on another."""

import builtins
import re
from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import pytest

from benchbase.errors import BenchbaseError
from benchbase.leaderboard.costs import Cost
from benchbase.leaderboard.plot import FONT, plot_costs, plot_stream, plot_told
from benchbase.stats import Interval

SVG = "{http://www.w3.org/2000/svg}"


def cost(label, flops, point, front=False):
    return Cost(label, Interval(point, point - 0.01, point + 0.01), flops, 30.0, None, front)


SOME = (cost("short", 1e6, 0.10, True), cost("squeezed", 1.1e6, 0.09), cost("long", 4e6, 0.15, True))


def texts(svg):
    """Every text with the place of its left end or middle, in points."""
    found = {}
    for each in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        move = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", each.get("transform", ""))
        place = move.groups() if move else (each.get("x"), each.get("y"))
        found["".join(each.itertext())] = tuple(map(float, place))
    return found


def test_it_shows_every_entry_and_both_axes():
    shown = texts(plot_costs(SOME, "ndcg@10", "short"))
    assert {"short", "squeezed", "long", "1 M", "2 M", "4 M"} <= set(shown)
    assert {"operations of a sequence, one forward pass", "ndcg@10; bars: 95 % intervals of the front"} <= set(shown)
    assert shown["long"][0] > shown["short"][0] and shown["long"][1] < shown["short"][1] < shown["squeezed"][1]


def test_the_name_of_the_metric_stands_on_the_page_beside_numbers_of_many_digits():
    near = [Cost(name, Interval(point, point - 0.0002, point + 0.0002), flops, 30.0, None, True)
            for name, flops, point in (("a", 1e6, 0.0336), ("b", 2e6, 0.0341))]
    svg = plot_costs(near, "ndcg@10", "a").decode()
    assert "0.0336" in svg
    assert float(re.search(r"rotate\(-90 ([\d.]+) ", svg)[1]) > 1.2 * FONT  # where the foot of its letters is


def test_it_says_where_less_is_better():
    assert "ne (less is better); bars: 95 % intervals of the front" in texts(plot_costs(SOME, "ne", None))


def test_the_same_bytes_whatever_a_user_draws_with():
    once = plot_costs(SOME, "ndcg@10", "short")
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "lines.linewidth": 9}):
        assert plot_costs(SOME, "ndcg@10", "short") == once
    assert b"Matplotlib v" not in once and b"<dc:date>" not in once
    assert matplotlib.rcParams["svg.fonttype"] == matplotlib.rcParamsDefault["svg.fonttype"]


@pytest.mark.parametrize("count", [2, 14, 60])
def test_labels_of_points_that_lie_together_stand_apart(count):
    near = [cost(f"entry {n}", 1e6 + n, 0.1 + n % 7 * 1e-6) for n in range(count)]
    many = (*near, cost("far", 8e6, 0.2, True))
    shown = texts(plot_costs(many, "ndcg@10", None))
    heights = [shown[f"entry {n}"][1] for n in range(count)]
    assert min(abs(one - other) for one, other in combinations(heights, 2)) > FONT
    by_height = sorted(range(count), key=lambda n: heights[n])
    points = [many[n].value.point for n in by_height]
    assert points == sorted(points, reverse=True)  # no line to a label crosses another


def test_labels_that_look_like_markup_or_formulas_are_shown_as_they_are():
    names = ("<script>x</script>", "$\\frac{1}{2}$", "a & b \"c\"", "$")
    shown = texts(plot_costs(tuple(cost(name, 1e6 * (n + 1), 0.1) for n, name in enumerate(names)), "ndcg@10", None))
    assert set(names) <= set(shown)


@pytest.mark.parametrize(("least", "most", "ticks"), [
    (8e5, 9e6, {"1 M", "2 M", "4 M", "8 M"}), (3e8, 5e8, {"300 M", "400 M", "500 M"}), (900, 5e3, {"1 k", "4 k"}),
])
def test_ticks_are_round(least, most, ticks):
    assert ticks <= set(texts(plot_costs((cost("a", least, 0.1), cost("b", most, 0.2, True)), "ndcg@10", None)))


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    bring = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return bring(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BenchbaseError, match=r"plots: matplotlib is not installed\. .* pip install 'matplotlib>=3"):
        plot_costs(SOME, "ndcg@10", None)


def test_accuracy_against_what_a_probe_tells():
    values = {name: Interval(point, point - 0.01, point + 0.01) for name, point in
              (("plain", 0.16), ("weak", 0.155), ("strong", 0.12), ("too strong", 0.08), ("no states", 0.1))}
    told = {"plain": 0.72, "weak": 0.66, "strong": 0.55, "too strong": 0.7}
    svg = plot_told(values, told, "gender", "ndcg@10", "plain")
    shown = texts(svg)
    assert {"plain", "weak", "strong", "too strong"} <= set(shown) and "no states" not in shown
    assert "what a fresh probe tells of gender: area under the curve, 0.5 is nothing" in shown
    assert shown["strong"][0] < shown["weak"][0] < shown["plain"][0] and shown["strong"][1] > shown["weak"][1]
    assert plot_told(values, told, "gender", "ndcg@10", "plain") == svg


def test_accuracy_against_what_is_forgotten():
    values = {name: Interval(point, point - 0.01, point + 0.01) for name, point in
              (("plain", 0.34), ("held", 0.39), ("held hard", 0.35))}
    shown = texts(plot_stream(values, {"plain": 0.6, "held": 0.5, "held hard": 0.1}, "ndcg@10", "plain"))
    assert "forgotten of what was before the stream: ndcg@10 lost on retained events" in shown
    assert shown["held hard"][0] < shown["held"][0] < shown["plain"][0]
