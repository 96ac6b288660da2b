"""What a record and a plan must say, checked whole where they are read: the folder may come from anyone."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..config import Published

DEPTH = 40
"""Mappings and lists inside each other, at most: who reads them goes down as deep."""

INT32 = 2**31 - 1
LARGE = 1e18
"""Above any cost: sums stay finite."""

Count = Annotated[int, Field(ge=0, le=int(LARGE))]
Users = Annotated[int, Field(ge=1, le=INT32)]
Number = Annotated[float, Field(ge=-LARGE, le=LARGE)]
Amount = Annotated[float, Field(ge=0, le=LARGE)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""A top-level package: to look for one in another would import that other."""


class Form(BaseModel):
    """What is read must be there and of its type, nothing is converted; more than that may be there."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class Choice(Form):
    label: str
    ablate: bool = False


class Split(Form):
    """`periods` and what follows are of a stream."""

    name: str
    periods: Count = 0
    lr: Amount | None = None
    momentum: Share | None = None
    batch: Count | None = None
    epochs: Count | None = None

    @model_validator(mode="after")
    def _all_of_a_stream(self) -> "Split":
        lacking = [name for name in ("lr", "momentum", "batch", "epochs") if getattr(self, name) is None]
        if self.periods and lacking:
            raise ValueError(f"it has periods, but no {lacking[0]}. Expected how they are learned from.")
        return self


class Rules(Form):
    """The protocol, as far as a page tells it."""

    metrics: Annotated[list[str], Field(min_length=1)]
    split: Split
    targets: str
    window: Count
    candidates: str
    filter_seen: Literal["history", "window", "none"]
    tasks: list[str] = []
    action_candidates: Count = 0


class Training(Form):
    epochs: Count
    patience: Count
    threads: Count
    windows: str = "last"
    eval_every: Count = 1


class SplitFacts(Form):
    leak_share: str | Share | None = None
    without_history: dict[str, Count] = {}
    users_too_short: Count = 0


class Card(Form):
    users: Count
    items: Count
    events: Count
    density: Amount
    licence: str
    splits: dict[str, SplitFacts] = {}
    domains: list[str] = []


class DataFacts(Form):
    dataset: str
    hash: str
    n_users: Users | None = None
    card: Card = cast(Any, None)  # it may be left out, but is never null


class Environment(Form):
    sources: dict[Module, str] = {}


class Facts(Form):
    """The facts of any run."""

    run_id: str
    code: str
    status: Literal["ok", "skipped", "failed", "timeout", "diverged"]
    reason: str
    suite: str
    seed: Seed
    configuration: Choice
    deterministic: bool = False
    published: bool = False
    traceback: str = ""
    protocol: dict[str, Any]
    train: dict[str, Any]
    data: DataFacts
    environment: Environment
    metrics: dict[str, Number | None]
    cost: dict[str, Amount]
    training: dict[str, Any]
    evaluation: dict[str, Any]
    route: list[str]
    files: dict[str, Digest]


class Machine(Environment):
    machine: str
    threads: Count


class Cost(Form):
    train_seconds: Amount
    rank_seconds: Amount
    peak_memory_bytes: Amount
    parameters: Count


class Fitted(Form):
    epochs: Count
    under_trained: bool


class Evaluation(Form):
    tied_share: Share | None = None
    cold_share: Share | None = None
    left_out_target_seen: Count = 0
    left_out_without_candidates: Count = 0
    by_chance: dict[str, Number] = {}
    base_rates: dict[str, Share] = {}


class KnownData(DataFacts):
    n_users: Users


class Good(Facts):
    """The facts of a run that has a result."""

    protocol: Rules  # type: ignore[assignment]
    train: Training  # type: ignore[assignment]
    data: KnownData
    environment: Machine
    training: Fitted  # type: ignore[assignment]
    evaluation: Evaluation  # type: ignore[assignment]


class CellForm(Form):
    run_id: RunId
    label: str
    dataset: str
    seed: Seed
    action: str
    reason: str


class PlanForm(Form):
    suite: str
    baseline: str | None
    metrics: Annotated[list[str], Field(min_length=1)]
    guards: bool
    hashes: dict[str, str] = {}
    cells: list[CellForm]
    published: list[Published] = []


TYPES = {"int_type": "a whole number", "float_type": "a number", "string_type": "text", "bool_type": "true or false",
         "dict_type": "a mapping", "model_type": "a mapping", "list_type": "a list",
         "extra_forbidden": "no such key", "string_pattern_mismatch": "a name, a hash or an address of the usual form"}
"""What was expected, in the words of other messages."""


def read_json(path: Path) -> Any:
    """The content of a JSON file. Errors: OSError; ValueError for what is none, or what nobody could write again."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    for depth, text in _walk(value):
        if depth > DEPTH:
            raise ValueError("it nests too deeply")
        text.encode()  # half a surrogate pair is no text: UnicodeEncodeError, a ValueError
    return value


def facts_problem(facts: Mapping[str, Any]) -> str:
    """What is wrong with a record's facts, the first of it, or nothing."""
    problem = _problem(Good if facts.get("status") == "ok" else Facts, facts)
    if problem or facts["status"] != "ok":
        return problem
    if problem := _problem(Cost, facts["cost"], "cost"):
        return problem
    card, users = facts["data"].get("card"), facts["data"]["n_users"]
    if card and card["users"] != users:
        return f"data.n_users is {users}. Expected {card['users']}, as its card says."
    return ""


def plan_problem(plan: Mapping[str, Any]) -> str:
    """What is wrong with a plan, the first of it, or nothing."""
    return _problem(PlanForm, plan)


def _problem(form: type[Form], value: Any, inside: str = "") -> str:
    try:
        form.model_validate(value)
    except ValidationError as error:
        return _told(error, inside)
    return ""


def _told(error: ValidationError, inside: str) -> str:
    """`where is what. Expected what.`"""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, ([inside] if inside else []) + [step for step in first["loc"] if step != "[key]"]))
    if first["type"] == "missing":
        return f"{where} is missing. Expected the facts of a run."
    if first["type"] == "value_error":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    expected = TYPES.get(first["type"]) or first["msg"].removeprefix("Input should be ")
    return f"{where} is {first['input']!r:.40}. Expected {expected}."


def _walk(value: Any, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Every text and every end of a JSON value with its depth; without recursion, which is what it looks for."""
    waiting = [(depth, value)]
    while waiting:
        depth, value = waiting.pop()
        if isinstance(value, dict):
            yield from ((depth, key) for key in value)
            waiting += ((depth + 1, item) for item in value.values())
        elif isinstance(value, list):
            waiting += ((depth + 1, item) for item in value)
        yield depth, value if isinstance(value, str) else ""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
