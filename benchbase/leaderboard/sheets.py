"""What stands below the main table of a data set, as plain cells that every form of a leaderboard writes alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..stats import Interval, Source
from . import words
from .across import Across
from .attribution import Attribution
from .costs import Cost, costs_of
from .curves import Curve
from .domains import Domains, Within
from .explained import Explanations
from .figures import Figure
from .measured import Measured
from .table import Leaderboard, Table

Lines = tuple[tuple[str, ...], ...]

ENDS = {"first_period": "first period", "last_period": "last period", "retained_before": "retained before",
        "retained_after": "retained after"}
"""What the figures of a stream are called, in their order."""

WIDE = 8
"""Figures that stand beside each other, at most."""

@dataclass(frozen=True)
class Sheet:
    """A title, the names of its columns, and its lines; `left`: the columns that hold names; `plot`: the kind of plot
    that may show it, `costs`, `stream`, or `told.` and what users are grouped by.
    """

    title: str
    names: tuple[str, ...]
    lines: Lines
    left: tuple[int, ...] = (0,)
    plot: str = ""


def sheets(table: Table, board: Leaderboard) -> Iterator[Sheet]:
    """The sheets of a table that have a line."""
    metric = board.metrics[0] if board.metrics else ""
    if costs := costs_of(table.rows, metric):
        yield _costs(costs, metric, board.baseline)
    if table.domains:
        yield _domains(table.domains, board)
    if table.across:
        yield _across(table.across)
    if table.attribution:
        yield from _attribution(table.attribution, metric)
    if table.stream:
        yield _stream(table.stream, metric)
    if table.lists:
        yield _lists(table.lists)
    if table.groups:
        yield from _groups(table.groups)
    if table.truths:
        yield _truths(table.truths, metric)
    if table.explanations:
        yield from _explanations(table.explanations)
    if table.figures:
        yield _figures(table.figures)


def curve_sheet(table: Table, board: Leaderboard) -> Iterator[Sheet]:
    """The learning curves of a table, if it has some."""
    if table.curves:
        yield _curves(table.curves, board.metrics[0])


def _costs(found: Sequence[Cost], metric: str, baseline: str | None) -> Sheet:
    """A line for each entry, the cheapest first."""
    base = next((each.flops for each in found if each.label == baseline), None)
    history = any(each.history for each in found)
    lines = tuple((
        each.label, words.number(each.value.point), words.size(round(each.flops)),
        *([] if base is None else [f"{each.flops / base:.2f}"]), f"{each.tokens:.1f}",
        *([_compressed(each)] if history else []), "yes" if each.front else "",
    ) for each in found)
    names = ("entry", metric, "operations", *([] if base is None else [f"of {baseline}'s"]), "tokens",
             *(["history"] if history else []), "none better for less")
    return Sheet("Accuracy and cost: operations and tokens of a sequence", names, lines, plot="costs")


def _compressed(cost: Cost) -> str:
    """Events before the window, and the tokens that stand for them."""
    return "" if cost.history is None else f"{cost.history[0]:.1f} in {cost.history[1]:.1f}"


def _domains(found: Domains, board: Leaderboard) -> Sheet:
    """A line for each domain: there may be more of them than entries."""
    lines = tuple(
        (name, f"{users:,}", f"{events:,}", *(_within(each[place]) for each in found.entries.values()))
        for place, (name, users, events) in enumerate(zip(found.names, found.users, found.events, strict=True))
    )
    tested = f" (less {board.baseline}; p corrected over {found.tests} tests)" if found.tests else ""
    return Sheet(f"By domain of the target, {board.metrics[0]}{tested}", ("domain", "users", "events", *found.entries),
                 lines)


def _within(each: Within) -> str:
    """A mean, and how far it is from the baseline's."""
    if each.difference is None or each.p_holm is None:
        return words.number(each.mean)
    return f"{words.number(each.mean)} ({words.signed(each.difference)}, p {words.p_value(each.p_holm)})"


def _across(found: Across) -> Sheet:
    """A line for each class of targets, and how far each entry is from the baseline in it."""
    labels = list(found.classes[0].shares)
    lines = tuple(
        (each.name, f"{each.events:,.0f}", *(_crossing(each.shares[label], each.shares.get(str(found.baseline)),
                                                       label == found.baseline) for label in labels))
        for each in found.classes
    )
    against = f" (less {found.baseline})" if found.baseline and len(labels) > 1 else ""
    found_ = f"; found: among the first {found.cutoff}, without other domains by {found.alone}" if found.alone else ""
    return Sheet(f"Attention across domains before the target{against}{found_}", ("targets", "events", *labels), lines)


def _crossing(share: float | None, base: float | None, is_base: bool) -> str:
    """A share of attention, and by how much of the baseline's it differs."""
    if share is None:
        return ""
    if is_base or not base:
        return words.figure(share)
    return f"{words.figure(share)} ({share / base - 1:+.0%})"


def _attribution(found: Attribution, metric: str) -> Iterator[Sheet]:
    """The gains over the references, what two of them gain together, and what they have of the spread."""
    effects = tuple(
        (each.factor, each.level, each.base, words.signed(each.difference), words.signed_ends(each), str(each.pairs))
        for each in found.effects if each.base == found.levels[each.factor][0]
    )
    yield Sheet(f"Which part earned it, {metric}: gains, all else equal",
                ("factor", "level", "instead of", "gain", "interval", "pairs"), effects, (0, 1, 2))
    together = tuple(
        (" × ".join(each.levels), " × ".join(each.bases), words.signed(each.difference), words.signed_ends(each),
         str(each.fours)) for each in found.interactions
    )
    if together:
        yield Sheet(f"Gained together beyond the sum of both gains, {metric}",
                    ("levels", "instead of", "gain", "interval", "sets of four"), together, (0, 1))
    if spread := found.spread:
        sources = tuple((_source(each), words.share(each.share), f"{words.share(each.low)}–{words.share(each.high)}",
                         f"{each.sum_sq:.2e}", str(each.df)) for each in spread.sources)
        grid = " × ".join(str(len(levels)) for levels in spread.levels.values() if len(levels) > 1)
        gone = [name for factor, levels in spread.levels.items() for name in found.levels[factor] if name not in levels]
        without = f" (without {', '.join(gone)}, which not all others meet)" if gone else ""
        yield Sheet(f"Which factor earned the spread of the {grid} means{without}, {metric}: shares of what luck does "
                    f"not explain (luck: {words.share(spread.luck)} of all squares)",
                    ("factor", "share", "interval", "sum of squares", "df"), sources)


def _source(source: Source) -> str:
    return " × ".join(source.factors) or "all others together"


def _stream(found: Measured, metric: str) -> Sheet:
    """A line for each entry, of the first metric alone."""
    ends = [name for name in ENDS if f"{name}.{metric}" in found.names]
    lines = tuple((each.label, *(_spread(each.figures.get(f"{name}.{metric}")) for name in ends))
                  for each in found.entries)
    names = ("entry", *(ENDS[name] for name in ends))
    return Sheet(f"The stream, {metric}: means over seeds (least–greatest)", names, lines, plot="stream")


def _lists(found: Measured) -> Sheet:
    """A line for each entry: there are few figures."""
    lines = tuple((each.label, *(_spread(each.figures.get(name)) for name in found.names)) for each in found.entries)
    return Sheet("What the lists hold, whatever the targets: means over seeds (least–greatest)",
                 ("entry", *found.names), lines)


def _groups(found: Measured) -> Iterator[Sheet]:
    """A sheet for what users are grouped by: a line for each entry, or where many groups make many figures, for each of
    these.
    """
    for column in dict.fromkeys(name.partition(".")[0] for name in found.names):
        names = [name for name in found.names if name.startswith(f"{column}.")]
        short = [name.partition(".")[2] for name in names]
        title, plot = f"By {column} of users: means over seeds (least–greatest)", f"told.{column}"
        if len(names) <= WIDE:
            lines = [(each.label, *(_spread(each.figures.get(name)) for name in names)) for each in found.entries]
            if found.chance.keys() & set(names):
                lines.append(("by chance", *(words.figure(found.chance.get(name)) for name in names)))
            yield Sheet(title, ("entry", *short), tuple(lines), plot=plot)
        else:
            yield Sheet(title, ("figure", *(each.label for each in found.entries), "by chance"), tuple(
                (label, *(_spread(each.figures.get(name)) for each in found.entries),
                 words.figure(found.chance.get(name))) for name, label in zip(names, short, strict=True)), plot=plot)


def _truths(found: Measured, metric: str) -> Sheet:
    """A line for each figure: there are more of them than entries."""
    lines = tuple((name, *(_spread(each.figures.get(name)) for each in found.entries),
                   words.figure(found.chance.get(name)), words.figure(found.agreement.get(name)))
                  for name in found.names)
    return Sheet("Against the truth behind the data: means over seeds (least–greatest)",
                 ("figure", *(each.label for each in found.entries), "by chance", f"correlation with {metric}"), lines)


def _explanations(found: Explanations) -> Iterator[Sheet]:
    """A line for each entry and explainer, then one for each sentence shown."""
    names = ("comprehensiveness", "sufficiency")
    lines = tuple((each.label, each.explainer,
                   *(cell for name in names for cell in (_spread(each.figures.get(name)),
                                                         words.figure(each.chance.get(name)))),
                   _spread(each.figures.get("events")), _spread(each.figures.get("named")))
                  for each in found.entries)
    yield Sheet("Explanations of up to 100 users: means over seeds (least–greatest)",
                ("entry", "explainer", *(title for name in names for title in (name, "by chance")), "events", "named"),
                lines, (0, 1))
    if found.examples:
        ranks = ("all", "without", "alone")
        yield Sheet("Explanations of the first seed, and the reciprocal rank of what they explain: all events read, "
                    "without the evidence, the evidence alone", ("entry", "explainer", "explanation", *ranks), tuple(
                        (each.label, each.explainer, each.text, *map(words.figure, (
                            each.whole, each.without, each.alone))) for each in found.examples), (0, 1, 2))


def _spread(figure: Interval | None) -> str:
    """A figure and its ends, or the figure alone where they are one."""
    if figure is None:
        return ""
    if figure.low == figure.high:
        return words.figure(figure.point)
    return f"{words.figure(figure.point)} ({words.figure(figure.low)}–{words.figure(figure.high)})"


def _figures(figures: Sequence[Figure]) -> Sheet:
    lines = []
    for figure in figures:
        each, ours = figure.published, figure.ours
        flags = [figure.badge] + ["under-trained"] * figure.under_trained
        protocol = [each.protocol] * bool(each.protocol) + ["sampled candidates"] * (each.ranking == "sampled")
        lines.append((
            each.entry, each.metric, f"{words.number(ours.point)} ({words.ends(ours)})" if ours else "",
            "" if each.value is None else words.number(each.value), words.band(each.band), ", ".join(flags),
            " ".join(filter(None, (each.source, each.url))), "; ".join(protocol),
        ))
    return Sheet("Published figures", ("entry", "metric", "ours", "published", "band", "ours is", "source", "protocol"),
                 tuple(lines), (0, 1, 5, 6, 7))


def _curves(curves: Sequence[Curve], metric: str) -> Sheet:
    epochs = sorted({epoch for curve in curves for epoch in curve.values})
    lines = tuple(
        (curve.label, *(words.number(curve.values[epoch]) if epoch in curve.values else "" for epoch in epochs),
         words.number(curve.last), words.number(curve.best)) for curve in curves
    )
    title = f"Learning curves: {metric} on the valid part after so many epochs, means over seeds that all got there"
    return Sheet(f"{title}, and of each one's last and best", ("entry", *map(str, epochs), "last", "best"), lines)
