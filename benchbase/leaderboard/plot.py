"""Accuracy against cost, what a probe tells or what is forgotten, drawn: the same leaderboard gives the same bytes.
Needs matplotlib, the extra `plots`.
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import isotonic_regression

from ..errors import BenchbaseError
from ..metrics import higher_is_better
from ..stats import Interval
from . import words
from .costs import Cost, unbeaten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 9.0, 5.4
"""Inches, of 72 points each; higher where there are labels for more."""

FONT = 9.0
"""Size of all text in points."""

INK, PALE, ACCENT = "#222222", "#8a8a8a", "#0b6e99"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "benchbase", "svg.fonttype": "none", "font.size": FONT, "font.family": "sans-serif",
    "axes.spines.top": False, "axes.spines.right": False, "text.color": INK, "axes.labelcolor": INK,
}
"""Over the defaults, whatever a user's own style says; text stays text, whose outlines would depend on fonts."""

LINE, LETTER, GAP = 1.2 * FONT, 0.56 * FONT, 8.0
"""Height of a label, width of one of its letters, and room between a point and a label, in points."""


@dataclass(frozen=True)
class Point:
    """An entry at `x`, of which less is better, and the mean and interval of a metric; on the `front`: no other is as
    good for less, or better for as little.
    """

    label: str
    x: float
    value: Interval
    front: bool


def plot_costs(found: Sequence[Cost], metric: str, baseline: str | None) -> bytes:
    """An SVG of entries by operations (log scale) and a metric; those on the front are filled and joined by steps, with
    the intervals of their means. Errors: `BenchbaseError` where matplotlib is not installed.
    """
    points = [Point(each.label, each.flops, each.value, each.front) for each in found]
    return _plot(points, "operations of a sequence, one forward pass", True, metric, baseline)


def plot_told(values: Mapping[str, Interval], told: Mapping[str, float], column: str, metric: str,
              baseline: str | None) -> bytes:
    """The same of entries by what a fresh probe tells of users' groups: the area under its curve, by label."""
    return _plot(_against(values, told, metric), f"what a fresh probe tells of {column}: area under the curve, 0.5 is "
                 "nothing", False, metric, baseline)


def plot_stream(values: Mapping[str, Interval], lost: Mapping[str, float], metric: str, baseline: str | None) -> bytes:
    """The same of entries by how much of the metric a stream cost them on what is retained from before, by label."""
    return _plot(_against(values, lost, metric), f"forgotten of what was before the stream: {metric} lost on retained "
                 "events", False, metric, baseline)


def _against(values: Mapping[str, Interval], x: Mapping[str, float], metric: str) -> list[Point]:
    """The entries that have both, by what there should be less of."""
    sign = 1 if higher_is_better(metric) else -1
    labels = sorted((label for label in x if label in values), key=lambda label: (x[label], label))
    front = unbeaten([(sign * values[label].point, x[label]) for label in labels])
    return [Point(label, x[label], values[label], first) for label, first in zip(labels, front, strict=True)]


def _plot(found: Sequence[Point], told: str, log: bool, metric: str, baseline: str | None) -> bytes:
    """`told`: what the horizontal axis is, on a `log` scale or not."""
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
    except ImportError:
        raise BenchbaseError("plots: matplotlib is not installed. Expected it where plots are asked for. "
                             "Install it: pip install 'matplotlib>=3.8'.") from None
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, max(HEIGHT, 1 + LINE * len(found) / 72)), dpi=72)
        axes = figure.add_axes((0.1, 0.1, 0.87, 0.87))
        _points(axes, found, metric)
        (_log_axis if log else _plain_axis)(axes, [each.x for each in found])
        axes.set_xlabel(told)
        for point, at, place in _labels(axes, found):
            axes.annotate(point.label, at, place, textcoords="offset points", va="center", parse_math=False,
                          color=INK if point.front else PALE, weight="bold" if point.label == baseline else "normal",
                          bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
                          arrowprops={"arrowstyle": "-", "color": PALE, "lw": 0.5, "relpos": (0, 0.5), "shrinkB": 3})
        sink = io.BytesIO()
        figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
    return sink.getvalue()


def _points(axes: "Axes", found: Sequence[Point], metric: str) -> None:
    """The entries, the front, and the metric's axis."""
    front = [each for each in found if each.front]
    x = [each.x for each in front]
    y = [each.value.point for each in front]
    axes.step(x, y, where="post", color=ACCENT, lw=1, zorder=1)
    axes.vlines(x, [each.value.low for each in front], [each.value.high for each in front], color=ACCENT, lw=0.8,
                alpha=0.5, zorder=1)
    axes.scatter(x, y, s=30, color=ACCENT, zorder=3)
    rest = [each for each in found if not each.front]
    axes.scatter([each.x for each in rest], [each.value.point for each in rest], s=26, facecolors="white",
                 edgecolors=PALE, zorder=2)
    better = "" if higher_is_better(metric) else " (less is better)"
    axes.set_ylabel(f"{metric}{better}; bars: 95 % intervals of the front")
    axes.grid(axis="y", color="#e8e8e8", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK)


def _log_axis(axes: "Axes", x: Sequence[float]) -> None:
    """Powers of two, with room on the right for labels."""
    least, most = min(x), max(x)
    axes.set_xscale("log", base=2)
    axes.set_xlim(least / (most / least) ** 0.06, most * (most / least) ** 0.3)
    _ticks(axes, least, most)


def _plain_axis(axes: "Axes", x: Sequence[float]) -> None:
    """The same room."""
    least, most = min(x), max(x)
    span = most - least or 0.1
    axes.set_xlim(least - 0.06 * span, most + 0.3 * span)


def _ticks(axes: "Axes", least: float, most: float) -> None:
    """Powers of two of thousands, millions and so on, or where hardly two would stand there, a few round numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    unit = 10.0 ** (3 * math.floor(math.log10(most) / 3))
    first, last = math.floor(math.log2(least / unit)), math.ceil(math.log2(most / unit))
    places: Sequence[float] = [unit * 2.0**power for power in range(first, last + 1)]
    if most < 4 * least:
        places = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(least, most)
    axes.xaxis.set_major_locator(FixedLocator([float(place) for place in places if place > 0]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: words.size(round(value))))


def _labels(axes: "Axes", found: Sequence[Point]) -> Iterator[tuple[Point, tuple[float, float], tuple[float, float]]]:
    """Every entry with its point in data and the place of its label from there, in points.

    Labels that would be in each other's way stand in one column on the right of their points, in the order of their
    heights and as near to them as one label above the other allows; all others stand beside their points.
    """
    points = {each.label: axes.transData.transform((each.x, each.value.point)).tolist() for each in found}
    bottom, top = (float(axes.transData.transform((found[0].x, end))[1]) for end in axes.get_ylim())
    groups = [_column([each], points, bottom, top) for each in found]
    while clash := next((pair for pair in combinations(groups, 2) if _overlap(*pair)), None):
        together = sorted((each for group in clash for each in group), key=lambda each: (each.point, each.entry.label))
        groups = [group for group in groups if group not in clash]
        groups.append(_column([each.entry for each in together], points, bottom, top))
    for label in (each for group in groups for each in group):
        x, y = points[label.entry.label]
        yield label.entry, (label.entry.x, label.entry.value.point), (label.left - x, label.height - y)


@dataclass(frozen=True)
class _Label:
    """A label whose left end is at `left`, its middle at `height`, in points; `point`: the height of its point."""

    entry: Point
    left: float
    height: float
    point: float


def _column(group: Sequence[Point], points: Mapping[str, Sequence[float]], bottom: float, top: float) -> list[_Label]:
    """The labels of a group one above the other, which is in the order of its points' heights."""
    x, y = np.array([points[each.label] for each in group]).T
    steps = LINE * np.arange(len(group))
    free = isotonic_regression(y - steps).x
    heights = steps + np.clip(free, bottom + LINE / 2, max(bottom, top - steps[-1]) - LINE / 2)
    left = float(x.max()) + (GAP if len(group) == 1 else 2.5 * GAP)
    ends = zip(group, heights.tolist(), y.tolist(), strict=True)
    return [_Label(each, left, height, point) for each, height, point in ends]


def _overlap(one: Sequence[_Label], other: Sequence[_Label]) -> bool:
    """Whether a label of one group is in the way of one of the other."""
    return any(a.left < _right(b) and b.left < _right(a) and abs(a.height - b.height) < LINE
               for a in one for b in other)


def _right(label: _Label) -> float:
    """Where another label may begin."""
    return label.left + LETTER * len(label.entry.label) + GAP
