"""Numbers and phrases as a leaderboard writes them, the same in every form."""

from collections.abc import Mapping
from typing import Any, Protocol

from ..metrics import action_metric, higher_is_better
from ..stats import Interval
from .costs import costs_of
from .table import LEVEL, Leaderboard, Row, Table
from .verdicts import ALPHA


class Ends(Protocol):
    """Anything with an interval."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def number(value: float) -> str:
    """A metric or a difference: four decimals, no minus before zero."""
    text = f"{value:.4f}"
    return text.removeprefix("-") if float(text) == 0 else text


def figure(value: float | None) -> str:
    """A figure of any size: three digits that count, or whole."""
    return "" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"


def ends(interval: Interval) -> str:
    return f"{number(interval.low)}–{number(interval.high)}"


def signed_ends(interval: Ends) -> str:
    return f"{signed(interval.low)} to {signed(interval.high)}"


def share(value: float) -> str:
    return f"{value:.0%}"


def band(ends: tuple[float, float] | None) -> str:
    return f"{number(ends[0])}–{number(ends[1])}" if ends else ""


def rank(interval: Interval | None) -> str:
    """A rank with its interval: `2 (1–3)`, or `2` where nothing else occurred."""
    if interval is None:
        return ""
    low, high = f"{interval.low:g}", f"{interval.high:g}"
    return f"{interval.point:g}" if low == high else f"{interval.point:g} ({low}–{high})"


def p_value(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def effect(value: float) -> str:
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text


def duration(seconds: float) -> str:
    """`42 s`, `3.5 min`, `2.1 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    """`512`, `218 k`, `1.2 M`."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return str(count)


def epochs(cost: Mapping[str, Any]) -> str:
    """Epochs trained, the mean over seeds, of so many at most: `12 of 60`; nothing where none is trained."""
    return f"{cost['epochs']:.1f}".removesuffix(".0") + f" of {cost['epochs_at_most']}" if cost["epochs"] else ""


def runs(statuses: Mapping[str, int]) -> str:
    """`9 runs: 8 ok, 1 skipped`."""
    total = sum(statuses.values())
    some = ", ".join(f"{count} {status}" for status, count in statuses.items())
    return f"{total} run{'' if total == 1 else 's'}: {some}"


def head(board: Leaderboard) -> str:
    """How much was run, and for how long."""
    return f"{runs(board.statuses)}; {duration(board.seconds)} of computing"


def seeds(row: Row) -> str:
    return "" if row.status != "ok" else f"{len(row.seeds)}"


def result(row: Row, board: Leaderboard) -> str:
    """What the comparison with the baseline says."""
    if row.status != "ok":
        return row.status
    if row.versus is None:
        return "baseline" if row.label == board.baseline else ""
    return row.versus.verdict


def legend(board: Leaderboard) -> list[str]:
    """How the numbers are to be read."""
    lower = [metric for metric in board.metrics if not higher_is_better(metric)]
    best = f"best mean is set off, the lowest of {', '.join(lower)}" if lower else "highest mean is set off"
    lines = [f"Means over users and seeds, with {LEVEL:.0%} intervals over users and seeds drawn anew; ranks likewise. "
             f"The {best}, unless it is under-trained."]
    if any(action_metric(metric) for metric in board.metrics):
        lines.append("Log loss, normalised entropy (ne) and area under the curve (auc) are of all evaluated events "
                     "together; a user counts by what their events move them by. The base rate has ne 1. A metric that "
                     "names no action is the mean over all that are predicted and have both labels.")
    if board.family:
        tests = "1 test" if board.family == 1 else f"{board.family} tests"
        lines.append(
            f"Against {board.baseline} on {board.metrics[0]}: test over paired users and over seeds, both taken as "
            "samples (with one seed a paired t-test, which knows nothing of other seeds), and the interval that "
            f"agrees with it; p corrected over {tests} (Holm). Better or worse: corrected p at most {ALPHA:g}. Effect: "
            "Cohen's d_z over users. Detectable: the smallest true difference that the test would find four times in "
            "five."
        )
    if any(costs_of(table.rows, board.metrics[0]) for table in board.tables if board.metrics):
        lines.append("Operations: those of the products of one forward pass that reads a sequence, the mean over "
                     "evaluated events, counted and not timed; the catalogue's scores are left out. Tokens: those that "
                     "are read, the mean over training sequences. History: events before the window in so many tokens.")
    if any(table.attribution for table in board.tables):
        lines.append(
            "Which part earned it: the mean over all pairs of entries that differ in this factor alone, with intervals "
            "over users and seeds as above, each entry telling of its own seeds, not corrected for their number. "
            "Together: how much more two changes gain than the sum of what each gains alone. Shares: an analysis of "
            "variance of the entries' means over a complete grid, less what users and seeds drawn anew add to the "
            "squares. Recommenders take no part."
        )
    lines += _measured(board)
    if any(table.across for table in board.tables):
        lines.append("Attention across domains: of the weight that the events before a target give, the share that "
                     "goes to events of another domain, the mean over layers, heads and events. Classes are of each "
                     "seed's own runs, and hold what was found by luck too. It is no test.")
    if any(table.figures for table in board.tables):
        lines.append("Published figures: ours is the mean over seeds, and in the band where it is neither below nor "
                     "above it. Figures over sampled candidates are another metric: shown, not compared.")
    return lines


def _measured(board: Leaderboard) -> list[str]:
    """How the figures beside the metrics are to be read."""
    lines = []
    if any(table.lists for table in board.tables):
        lines.append("What the lists hold: coverage, the share of the catalogue that stands in at least one list; "
                     "diversity, the mean Jaccard distance of the categories of two items of a list; lift, how much "
                     "more popular the lists are than what their users chose before (0: alike, 1: twice); novelty, the "
                     "mean of -log2(an item's share of training events), in bits. Users count alike.")
    if any(table.stream for table in board.tables):
        lines.append("The stream: each period is predicted with what was learned of those before it, and then learned "
                     "from; the first and the last period's accuracy. Retained: accuracy on events from right before "
                     "the stream, which nothing is learned from, with the parameters before the stream and after it.")
    if any(table.groups for table in board.tables):
        lines.append("By groups of users: the first metric within each, of ten users and more. Exposure gap: how far "
                     "apart what two groups are shown is, the total variation distance of the items in their lists (0: "
                     "the same, 1: nothing in common); by chance: were users put into groups of these sizes at random. "
                     "Threshold gap: how far apart the groups' shares of scores above the median of all scores are. "
                     "Probe AUC: area under the curve of a classifier trained anew, on states of other users, to tell "
                     "a user's group (0.5: it cannot). Of more than two groups gaps are those of the two farthest "
                     "apart, and the area is the mean over one group against all others.")
    if any(table.explanations for table in board.tables):
        lines.append("Explanations: an explainer says which events of a user's past speak for the item that the model "
                     "ranks first. Comprehensiveness: how far the mean reciprocal rank of that item falls once these "
                     "events are taken away (0: nothing changes; 1: all is lost); sufficiency: that rank when they "
                     "alone are left (1: they suffice); by chance: the same of as many events drawn at random. Events: "
                     "how many an explanation rests on. Named: the share of sentences that name nothing but the item, "
                     "those events and categories of the item.")
    if any(table.truths for table in board.tables):
        lines.append("Against the truth: what the law that the data was generated from says of the trained models; the "
                     "plugin that generates it tells what each figure means. The correlation is Spearman's, over all "
                     "runs that have both figures; it is no test.")
    return lines


def doubts(table: Table) -> list[str]:
    """The gaps of a table's entries, then its notes."""
    return [f"{row.label}: {reason}" for row in table.rows for reason in row.reasons] + list(table.notes)
