"""What a part needs of its surroundings, and where it comes from."""

from dataclasses import dataclass
from typing import Literal

from ..errors import PluginError
from .names import ATTENTION, LAWS, LAYOUTS, SCOPES, TASKS, TRAINING, check_names


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a technique comes from."""

    paper: str
    url: str = ""
    code: str = ""
    commit: str = ""

    def __str__(self) -> str:
        return ", ".join(part for part in (self.paper, self.url, self.code, self.commit) if part)


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """Negative items that an objective asks the core to draw.

    `law`: `uniform`; `popularity`, the share of the train part's events; `mixed`, popularity for a share `mix` of
    the draws and uniform for the rest; `in_batch`, up to `count` targets of the step, each taken once. `scope`: one
    draw per predicted position, per sequence, or per batch. `keep_positive` leaves accidental positives in
    (otherwise they are redrawn per position, and masked by the objective where a draw is shared).
    """

    count: int
    law: Literal["uniform", "popularity", "in_batch", "mixed"] = "uniform"
    scope: Literal["position", "sequence", "batch"] = "position"
    keep_positive: bool = False
    mix: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise PluginError(f"Negatives: count is {self.count!r}. Expected a whole number of at least 1.")
        for what, known in (("law", LAWS), ("scope", SCOPES)):
            if (given := getattr(self, what)) not in known:
                raise PluginError(f"Negatives: {what} {given!r} unknown. Expected one of {', '.join(known)}.")
        if self.law == "in_batch" and self.scope != "batch":
            raise PluginError(f"Negatives: law 'in_batch' with scope {self.scope!r}. Expected scope 'batch', since "
                              "all of a step share its targets.")
        if isinstance(self.mix, bool) or not isinstance(self.mix, (int, float)) or not 0 <= self.mix <= 1:
            raise PluginError(f"Negatives: mix is {self.mix!r}. Expected a share from 0 to 1.")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a part needs of its surroundings; checked by `assemble` before any compute.

    `None` means any. `tasks`, `layouts`: at least one must be what the suite runs. `attention`:
    `softmax` or `pointwise`. `actions`: the part reads them. `categories`: some, or the columns of these names.
    `traces`: names that the backbone or a modifier must publish. `groups`: attention mass. `features`: columns of the
    catalogue; `vectors`: those of its items; `marks`: those of events that no model reads, of which an objective sees
    its targets'. `user_groups`: what users must be grouped by. `stream`: the split goes on learning from what it tests.
    `bare_items`: vectors of items are rows of the table alone, to which no encoder adds.
    """

    tasks: frozenset[str] | None = None
    layouts: frozenset[str] | None = None
    attention: frozenset[str] | None = None
    training: frozenset[str] | None = None
    causal: bool | None = None
    time: bool = False
    domains: bool = False
    actions: bool = False
    categories: bool | frozenset[str] = False
    traces: frozenset[str] = frozenset()
    groups: bool = False
    negatives: Negatives | None = None
    features: frozenset[str] = frozenset()
    vectors: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    user_groups: frozenset[str] = frozenset()
    stream: bool = False
    bare_items: bool = False

    def __post_init__(self) -> None:
        any_or_sets = {"tasks": TASKS, "layouts": LAYOUTS, "attention": ATTENTION, "training": TRAINING}
        for what in (*any_or_sets, "traces", "features", "vectors", "marks", "user_groups", "categories"):
            given = getattr(self, what)
            if (what == "categories" and isinstance(given, bool)) or (what in any_or_sets and given is None):
                continue
            if not isinstance(given, (set, frozenset)):
                raise PluginError(f"Needs: {what} is {given!r}. Expected a set of names.")
            if what in any_or_sets:
                check_names("Needs", what, given, any_or_sets[what])
