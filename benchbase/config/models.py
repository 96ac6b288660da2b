"""What a suite fixes for all its runs, and what one configuration chooses."""

from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from ..errors import BenchbaseError, ConfigError, nearest
from ..specs import Config, HeadConfig, LayoutConfig, ScorerConfig, SequenceConfig, defaults
from .forms import write_part
from .nodes import Problems, from_plain
from .parts import Lookup, Part, resolve_part

MODEL_KEYS = ("backbone", "layout", "scorer", "head", "sequence", "encoders", "compressor", "modifiers", "objectives",
              "combiner", "explainers")
"""Keys of a configuration that a recommender excludes."""


def distinct(values: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """The values, if none of them is given twice."""
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{twice[0]} is given twice. Expected each once. Remove one.")
    return values


def _metric(name: str) -> str:
    from ..metrics import ACTION_FAMILIES, action_metric, parse

    if action_metric(name):
        return name
    try:
        parse(name)
    except BenchbaseError as error:
        others = f"Of the action task: {', '.join(ACTION_FAMILIES)}, also of one action, as ne.like."
        raise ValueError(f"{str(error).removeprefix('metrics: ')} {others}") from error
    return name


def _no_alias_twice(names: tuple[str, ...]) -> tuple[str, ...]:
    """The metrics, if no two are one under two names."""
    from ..metrics import action_metric, parse

    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(name if action_metric(name) else parse(name).canonical, name)
        if other != name:
            raise ValueError(f"{other} and {name} are one metric. Expected each once. Remove one.")
    return names


def split_config(name: str) -> type[Config]:
    """The parameters of a split; ConfigError where there is none of that name."""
    from ..data.splits import SPLITS

    if name not in SPLITS:
        raise ConfigError([f"no split named '{name}'. {nearest(name, SPLITS, 'Splits')}"])
    return SPLITS[name].config


def windowing_config(name: str) -> type[Config]:
    """The parameters of a windowing; ConfigError where there is none of that name."""
    from ..data.windows import WINDOWINGS

    if name not in WINDOWINGS:
        raise ConfigError([f"no windowing named '{name}'. {nearest(name, WINDOWINGS, 'Windowings')}"])
    return WINDOWINGS[name].config


def _part_of(kind: str, lookup: Lookup, value: Any) -> Part:
    """A part of the core given in Python: a part, or a part in any form."""
    if isinstance(value, Part):
        return value
    problems = Problems()
    part = resolve_part(kind, from_plain(value, problems), kind, lookup, problems)
    if part is None or problems.texts():
        raise ValueError("; ".join(problems.texts()))
    return part


def _as_split(value: Any) -> Part:
    return _part_of("split", split_config, value)


def _as_windowing(value: Any) -> Part:
    return _part_of("windowing", windowing_config, value)


def _bracket_form(part: Part) -> str:
    """A part of scalar parameters as text; a name alone where it has none, as older records have it."""
    return write_part(part.name, defaults(part.config))


Split = Annotated[Part, BeforeValidator(_as_split), PlainSerializer(Part.canonical)]
Windowing = Annotated[Part, BeforeValidator(_as_windowing), PlainSerializer(_bracket_form)]
Metrics = Annotated[
    tuple[Annotated[str, AfterValidator(_metric)], ...], AfterValidator(distinct), AfterValidator(_no_alias_twice)
]
Tasks = Annotated[tuple[Literal["next_item", "action"], ...], AfterValidator(distinct)]


class Protocol(Config):
    """What is asked and how answers are judged; no plugin can touch it."""

    tasks: Tasks = Field(("next_item",), min_length=1, description="what is predicted")
    split: Split = Field(default_factory=lambda: _as_split("global_time"), description="what is train, valid and test")
    window: int = Field(50, ge=1, le=100_000, description="events at the end of a sequence that a backbone reads")
    targets: Literal["next", "each"] = Field("next", description="the first event after the cut, or every one")
    query_time: Literal["next", "last"] = Field("next", description="time of asking: the next event's or the last's")
    filter_seen: Literal["history", "window", "none"] = Field("history", description="items that are no candidates")
    candidates: Literal["catalogue", "train_items", "domain"] = Field("catalogue", description="items that are ranked")
    action_candidates: int = Field(0, ge=0, description="last events of a row that are scored with hidden actions")
    metrics: Metrics = Field(
        ("ndcg@10", "recall@10", "mrr@10"),
        min_length=1,
        description="what is reported; the first is selected on and tested",
    )

    @model_validator(mode="before")
    @classmethod
    def _action_metrics(cls, given: Any) -> Any:
        """The default metrics of a suite that asks for actions only."""
        if isinstance(given, dict) and list(given.get("tasks", ())) == ["action"]:
            return {"metrics": ["ne", "auc"], **given}
        return given

    @model_validator(mode="after")
    def _metrics_of_tasks(self) -> "Protocol":
        from ..metrics import action_metric

        for name in self.metrics:
            task = "action" if action_metric(name) else "next_item"
            if task not in self.tasks:
                raise ValueError(
                    f"metrics: {name} belongs to the task {task}, which is not among tasks. "
                    f"Expected metrics of {', '.join(self.tasks)}."
                )
        return self


class Train(Config):
    """How every backbone learns; fixed by the suite, never by a plugin or an executor."""

    epochs: int = Field(100, ge=1, description="passes over the training sequences, at most")
    patience: int = Field(10, ge=0, description="evaluations without improvement before stopping; 0 = never stop early")
    batch: int = Field(128, ge=1, description="sequences in a step")
    lr: float = Field(1e-3, gt=0, description="learning rate")
    optimizer: Literal["adam", "adamw"] = Field("adam", description="the rule of the steps")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    weight_decay: float = Field(0.0, ge=0, description="decay of the weights")
    clip: float | None = Field(None, gt=0, description="bound of the gradient's norm; null = none")
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of a run; they change the last digits")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to compute")
    windows: Windowing = Field(
        default_factory=lambda: _as_windowing("last"), description="how long sequences are cut for training"
    )
    supervise: Literal["all", "last", "candidates"] = Field("all", description="events that are learned from")
    mask_rate: float = Field(0.2, gt=0, lt=1, description="share of events hidden for a masked backbone")
    buckets: int = Field(4, ge=1, description="length groups inside a batch")
    eval_every: int = Field(1, ge=1, description="epochs between evaluations of the valid part")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="number format of the forward pass")
    minutes: float | None = Field(None, gt=0, description="time of a run before it ends as timeout; null = any")


def _label(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} is no label. Expected printable text on one line, without spaces at its ends.")
    return text


Label = Annotated[str, Field(max_length=120), AfterValidator(_label)]


class Labelled(Config):
    """The keys of a configuration that are no choice of parts."""

    label: Label = Field("", description="name in tables")
    ablate: bool = Field(False, description="also run it without each of its parts")


class Configuration(Labelled):
    """One choice of parts: a backbone with all that goes with it, or a whole recommender."""

    backbone: Part | None = Field(None, description="tokens in, states out")
    layout: LayoutConfig = Field(LayoutConfig(), description="how events become tokens")
    scorer: ScorerConfig = Field(ScorerConfig(), description="how states become scores")
    head: HeadConfig | None = Field(None, description="how states become probabilities of actions; the action task's")
    sequence: SequenceConfig = Field(SequenceConfig(), description="which events a model reads and learns from")
    encoders: tuple[Part, ...] = Field((), description="what is known of items to item vectors, added up")
    compressor: Part | None = Field(None, description="long history in, few tokens out")
    modifiers: tuple[Part, ...] = Field((), description="changes of attention, in order")
    objectives: tuple[Part, ...] = Field((), description="losses, the main one first")
    combiner: Part | None = Field(None, description="how two losses are balanced")
    explainers: tuple[Part, ...] = Field((), description="what says why items are recommended; no other result moves")
    recommender: Part | None = Field(None, description="a whole recommender, in place of all other parts")

    def canonical(self) -> dict[str, Any]:
        """Every choice with its defaults, without label and ablate, a head and explainers where there are none, a
        sequence that is read whole, and a window of no own: records from before these keys have none.
        """
        if self.recommender:
            return {"recommender": self.recommender.canonical()}
        left_out = {key for key in ("head", "explainers") if not getattr(self, key)}
        left_out |= {"sequence"} if self.sequence == SequenceConfig() else set()
        choice = {key: canonical_choice(getattr(self, key)) for key in MODEL_KEYS if key not in left_out}
        if self.sequence.window is None and "sequence" in choice:
            del choice["sequence"]["window"]
        return choice

    def reads(self, protocol: Protocol) -> int:
        """How many events a model reads of a sequence: the protocol's window, or fewer."""
        return self.sequence.window or protocol.window

    def parts(self) -> list[Part]:
        """Every part chosen, backbone first."""
        single = [self.backbone, self.compressor, self.combiner, self.recommender]
        lists = (*self.encoders, *self.modifiers, *self.objectives, *self.explainers)
        return [part for part in (*single, *lists) if part]


def canonical_choice(value: Any) -> Any:
    """A value of a configuration's key as plain data."""
    if isinstance(value, Part):
        return value.canonical()
    if isinstance(value, Config):
        return defaults(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [canonical_choice(item) for item in value]
    return value
