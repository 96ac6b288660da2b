"""What makes two configurations, suites and runs one."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbase.config import Configuration, Part, Protocol, Train, canonical_json, load_suite, run_id
from benchbase.errors import ConfigError
from benchbase.specs import Config, defaults

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_canonical_json_is_json_and_is_its_own_canonical_form(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_is_one_text_for_one_meaning():
    assert canonical_json({"b": (1, 2.0), "a": "é"}) == '{"a":"é","b":[1,2.0]}'
    assert canonical_json(-0.0) == canonical_json(0.0) == "0.0"


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}, {(1, 2): 3}])
def test_what_json_cannot_hold(value):
    with pytest.raises(
        ConfigError, match=r"^canonical JSON: .*\. Expected finite numbers, text, lists and mappings\.$"
    ):
        canonical_json(value)


def first(load, registry, **keys):
    loaded = load(**keys)
    return loaded.configurations(registry)[0], loaded


def test_a_run_id_is_twelve_hex_digits_and_does_not_move(suite, registry):
    configuration, loaded = first(suite, registry)
    found = run_id(configuration, loaded, "data", 1)
    assert len(found) == 12 and int(found, 16) >= 0
    assert found == run_id(configuration, loaded, "data", 1)


BASE = {"backbone": "plain", "objectives": ["softmax"]}


@pytest.mark.parametrize(
    "keys",
    [
        {"base": {**BASE, "label": "other"}},
        {"base": {**BASE, "ablate": True}},
        {"base": {**BASE, "backbone": "plain[width=64]"}},
        {"base": {**BASE, "layout": "items", "modifiers": [], "compressor": None}},
        {"base": {**BASE, "sequence": {"events": "all"}}},
        {"base": {**BASE, "sequence": {"window": None}}},
        {"protocol": {"split": {"name": "leave_one_out"}, "window": 50}},
        {"train": {"windows": "last"}},
        {"train": {"windows": {"name": "last"}}},
        {"suite": "other", "seeds": [1, 2], "guards": False, "entries": [{"backbone": "deep"}]},
        {"datasets": ["files[path=elsewhere]"]},
    ],
)
def test_what_a_run_id_does_not_depend_on(suite, registry, keys):
    assert _id(suite, registry, **keys) == _id(suite, registry)


@pytest.mark.parametrize(
    "keys",
    [
        {"base": {**BASE, "backbone": "plain[width=65]"}},
        {"base": {**BASE, "modifiers": ["boost"]}},
        {"base": {**BASE, "objectives": [{"name": "softmax", "weight": 0.5}]}},
        {"base": {**BASE, "scorer": {"score": "cosine"}}},
        {"base": {**BASE, "sequence": {"events": "own_domain"}}},
        {"base": {**BASE, "sequence": {"mislabelled": 0.1}}},
        {"base": {**BASE, "sequence": {"window": 20}}},
        {"base": {**BASE, "layout": "items[position=from_end]"}},
        {"protocol": {"split": "temporal_ratio"}},
        {"protocol": {"split": "leave_one_out", "window": 51}},
        {"train": {"device": "cpu"}},
        {"train": {"threads": 2}},
        {"train": {"windows": "chunks"}},
        {"data_seed": 1},
    ],
)
def test_what_a_run_id_depends_on(suite, registry, keys):
    assert _id(suite, registry, **keys) != _id(suite, registry)


def _id(load, registry, **keys):
    configuration, loaded = first(load, registry, **keys)
    return run_id(configuration, loaded, "data", 1)


def test_a_run_id_depends_on_data_and_seed(suite, registry):
    configuration, loaded = first(suite, registry)
    ids = {run_id(configuration, loaded, data, seed) for data in "ab" for seed in (1, 2)}
    assert len(ids) == 4


def test_order_of_modifiers_is_part_of_a_configuration_and_order_of_parameters_is_not(suite, registry):
    one = _id(suite, registry, base={**BASE, "modifiers": ["boost[alpha=2,on=false]", "tilt"]})
    assert one == _id(suite, registry, base={**BASE, "modifiers": ["boost[on=false,alpha=2.0]", "tilt"]})
    assert one != _id(suite, registry, base={**BASE, "modifiers": ["tilt", "boost[on=false,alpha=2.0]"]})


def test_sets_are_written_alike_in_every_process():
    code = (
        "from benchbase.specs import Config, defaults\n"
        "class Words(Config):\n    words: frozenset[str]\n"
        "print(defaults(Words(words={'ab', 'cd', 'ef', 'gh', 'ij'})))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": str(seed)}
        ).stdout
        for seed in (1, 2, 3)
    }
    assert found == {"{'words': ['ab', 'cd', 'ef', 'gh', 'ij']}\n"}


def test_parts_are_equal_and_hashed_by_what_they_say():
    class One(Config):
        a: int = 1
        b: tuple[int, ...] = (1,)

    class Two(Config):
        b: tuple[int, ...] = (1,)
        a: int = 1

    one, two = (Part(kind="modifier", name="x", config=config()) for config in (One, Two))
    assert one == two and hash(one) == hash(two)
    assert one != Part(kind="backbone", name="x", config=One())
    assert one != Part(kind="modifier", name="x", config=One(a=2)) and one != "x"
    assert Part(kind="objective", name="x", config=One(), weight={"a": 2.0}).text == 'x[weight={"a":2.0}]'
    assert Part(kind="modifier", name="x", config=One(a=2, b=(3,))).text == "x[a=2,b=[3]]"


def test_objectives_alone_have_a_weight_in_their_canonical_form():
    assert Part(kind="objective", name="x", config=Config()).canonical() == {"name": "x", "weight": 1.0}
    assert Part(kind="modifier", name="x", config=Config()).canonical() == {"name": "x"}


def test_a_configuration_in_python_has_all_defaults():
    part = Part(kind="backbone", name="x", config=Config())
    assert list(Configuration(backbone=part).canonical()) == [
        "backbone",
        "layout",
        "scorer",
        "encoders",
        "compressor",
        "modifiers",
        "objectives",
        "combiner",
    ]


def test_protocols_in_python_take_splits_in_any_form():
    assert Protocol(split="leave_one_out").split.name == "leave_one_out"
    assert Protocol(split={"name": "temporal_ratio", "valid": 0.2}).split.config.valid == 0.2
    assert Protocol(split=Protocol().split) == Protocol()
    with pytest.raises(ValueError, match=r"split.name: no split named 'leave_one'\. Did you mean 'leave_one_out'\?"):
        Protocol(split="leave_one")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"metrics": []}, "at least 1 item"),
        (
            {"metrics": ["ndcg"]},
            "'ndcg' has no cutoff. Expected name@k. Nearest: 'ndcg@10'. Of the action task: ne, log_loss",
        ),
        ({"metrics": ["ndcg@10", "ndcg@10"]}, "ndcg@10 is given twice. Expected each once. Remove one."),
        ({"metrics": ["hr@10", "recall@10"]}, "hr@10 and recall@10 are one metric. Expected each once. Remove one."),
        (
            {"metrics": ["ne"]},
            "metrics: ne belongs to the task action, which is not among tasks. Expected metrics of next_item.",
        ),
        ({"tasks": ["action"], "metrics": ["mrr@5"]}, "metrics: mrr@5 belongs to the task next_item"),
        ({"tasks": ["action", "action"]}, "action is given twice. Expected each once. Remove one."),
        ({"tasks": []}, "at least 1 item"),
        ({"window": 0}, "greater than or equal to 1"),
        ({"window": 100_001}, "less than or equal to 100000"),
    ],
)
def test_protocols_that_ask_for_nothing_sensible(problems, keys, problem):
    found = problems(protocol={"split": "leave_one_out", **keys})
    assert len(found) == 1 and problem in found[0] and found[0].startswith("protocol")


def test_metrics_of_both_tasks():
    assert Protocol(tasks=("action",)).metrics == ("ne", "auc")
    both = Protocol(tasks=("next_item", "action"), metrics=("ndcg@10", "ne"))
    assert both.metrics == ("ndcg@10", "ne")


@pytest.mark.parametrize("form", ["last", "chunks", "slide[stride=25]"])
def test_windowings_are_written_as_text_and_read_in_any_form(suite, registry, form):
    name, _, stride = form.removesuffix("]").partition("[stride=")
    mapping = {"name": name} | ({"stride": int(stride)} if stride else {})
    one, other = Train(windows=form), Train(windows=mapping)
    assert one == other and one.windows.name == name
    assert defaults(one)["windows"] == defaults(other)["windows"] == form
    assert Train(**defaults(one)) == one
    loaded = suite(train={"windows": mapping})
    assert loaded.train == one and loaded.canonical()["train"]["windows"] == form
    assert load_suite(loaded.canonical(), registry) == loaded
    with pytest.raises(ValueError, match=r"windowing.name: no windowing named 'chunk'\. Did you mean 'chunks'\?"):
        Train(windows="chunk")


def test_training_has_its_defaults():
    assert Train().model_dump() == {
        "epochs": 100,
        "patience": 10,
        "batch": 128,
        "lr": 1e-3,
        "optimizer": "adam",
        "beta2": 0.999,
        "weight_decay": 0.0,
        "clip": None,
        "threads": 1,
        "device": "auto",
        "windows": "last",
        "supervise": "all",
        "mask_rate": 0.2,
        "buckets": 4,
        "eval_every": 1,
        "precision": "float32",
        "minutes": None,
    }
