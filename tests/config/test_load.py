"""Suites from files, texts and mappings, and all that can be wrong with them."""

from pathlib import Path

import pytest
import yaml

from benchbase import registry as registries
from benchbase.config import Configuration, Part, Protocol, Suite, Train, canonical_json, load_suite, registry_for
from benchbase.config.nodes import MAX_BYTES
from benchbase.errors import ConfigError
from benchbase.registry import Registry
from benchbase.specs import LayoutConfig, ScorerConfig

TEXT = """\
suite: words
plugins: [tests]
datasets:
  - files[format=sequence, path=events.txt]      # a comment
protocol: {tasks: [next_item], split: "global_time[valid=0.2, test=0.2]", window: 200, metrics: [ndcg@10, hr@5]}
train: {epochs: 60, lr: 1e-3, clip: 5, minutes: null}
seeds: [3, 1]
data_seed: 7
base:
  backbone: plain[width=32]
  scorer: {score: cosine}
  layout: stacked[position=from_end]
  objectives: [softmax, {name: extra, weight: {a: 0.5, b: 1}}]
  compressor: buckets
  combiner: {name: even, balance: [softmax, extra.a]}
  encoders: []
grid:
  modifiers: [[], ["boost[alpha=1.0]"]]
  backbone: [plain, deep]
entries:
  - {label: count, recommender: count}
  - {label: alone, compressor: null, combiner: null, ablate: true}
guards: false
baseline: count
"""


def test_a_suite_is_read(registry):
    suite = load_suite(TEXT, registry)
    assert (suite.suite, suite.plugins, suite.seeds, suite.data_seed, suite.guards, suite.baseline) == (
        "words",
        ("tests",),
        (3, 1),
        7,
        False,
        "count",
    )
    assert [part.text for part in suite.datasets] == ["files[path=events.txt,format=sequence]"]
    assert suite.protocol.split.text == "global_time[valid=0.2,test=0.2]"
    assert (suite.protocol.window, suite.protocol.metrics) == (200, ("ndcg@10", "hr@5"))
    assert (suite.train.epochs, suite.train.lr, suite.train.clip, suite.train.minutes) == (60, 1e-3, 5.0, None)
    assert suite.base["scorer"] == ScorerConfig(score="cosine")
    assert suite.base["layout"] == LayoutConfig(kind="stacked", position="from_end")
    assert suite.base["objectives"][1].weight == {"a": 0.5, "b": 1.0}
    assert suite.base["combiner"].config.balance == ("softmax", "extra.a")
    assert suite.base["encoders"] == ()
    assert [[part.name for part in value] for value in suite.grid["modifiers"]] == [[], ["boost"]]
    assert suite.entries[1] == {"label": "alone", "compressor": None, "combiner": None, "ablate": True}
    assert suite.source_text == TEXT and suite.folder is None


def test_what_a_suite_leaves_out_has_defaults(suite):
    loaded = suite(protocol=...)
    assert loaded.protocol == Protocol() and loaded.train == Train()
    assert (loaded.seeds, loaded.data_seed, loaded.guards, loaded.baseline, loaded.plugins) == (
        (1,),
        0,
        True,
        None,
        None,
    )
    assert loaded.protocol.split.name == "global_time" and loaded.protocol.metrics[0] == "ndcg@10"


@pytest.mark.parametrize(
    "form",
    [
        lambda suite: suite.canonical(),
        lambda suite: yaml.safe_dump(suite.canonical()),
        lambda suite: canonical_json(suite.canonical()) + "\n",
    ],
)
def test_the_canonical_form_loads_to_an_equal_suite(registry, form):
    suite = load_suite(TEXT, registry)
    again = load_suite(form(suite), registry)
    assert again == suite and hash(again) == hash(suite)
    assert [(each.label, each.canonical()) for each in again.configurations(registry)] == [
        (each.label, each.canonical()) for each in suite.configurations(registry)
    ]
    assert load_suite(TEXT.replace("200", "201"), registry) != suite


def test_resolved_objects_are_taken_in_python(registry, write, suite):
    usual = suite()
    again = load_suite(
        write(
            base={
                "backbone": usual.base["backbone"],
                "objectives": list(usual.base["objectives"]),
                "scorer": ScorerConfig(),
            },
            protocol=usual.protocol,
            train=Train(),
        ),
        registry,
    )
    assert again.base["backbone"] == usual.base["backbone"] and again.protocol == usual.protocol


def test_a_file_is_read_and_remembered(registry, tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    suite = load_suite(path, registry)
    assert suite == load_suite(str(path), registry) == load_suite(TEXT, registry)
    assert suite.folder == tmp_path and suite.source_text == TEXT


def test_mistakes_in_a_file_come_all_at_once_with_their_lines(problems, tmp_path):
    wrong = TEXT
    for old, new in [
        ("window: 200", "window: big"),
        ("width=32", "wdth=0"),
        ("score: cosine", "score: cos"),
        ("boost[alpha=1.0]", "bost"),
        ("ndcg@10", "ndgc@10"),
        ("recommender: count", "recommender: cuont"),
        ("epochs: 60", "epochs: 0"),
        ("guards: false", "guard: false"),
        ("valid=0.2", "valid=2"),
        ("[tests]", "[test]"),
        ("path=events.txt", "path"),
    ]:
        assert old in wrong
        wrong = wrong.replace(old, new)
    path = tmp_path / "suite.yaml"
    path.write_text(wrong)
    found = [problem.removeprefix(f"{path}:") for problem in problems(path)]
    assert [problem.split(": ")[:2] for problem in found] == [
        ["2", "plugins[0]"],
        ["4", "datasets[0]"],
        ["5", "protocol.split.valid"],
        ["5", "protocol.window"],
        ["5", "protocol.metrics[0]"],
        ["6", "train.epochs"],
        ["10", "base.backbone.wdth"],
        ["11", "base.scorer.score"],
        ["18", "grid.modifiers[1][0].name"],
        ["21", "entries[0].recommender.name"],
        ["23", "guard"],
    ]
    assert found[0] == "2: plugins[0]: no plugin named 'test'. Did you mean 'tests'? Installed: tests."
    assert found[6] == (
        "10: base.backbone.wdth: unknown parameter. Did you mean 'width'? Parameters: dropout, heads, width."
    )
    assert found[8] == (
        "18: grid.modifiers[1][0].name: no modifier named 'bost'. Did you mean 'boost'? Installed: boost, tilt."
    )
    assert found[10].startswith("23: guard: unknown key. Did you mean 'guards'? Keys: base, baseline, ")


def test_mistakes_of_the_whole_are_told_beside_those_of_single_values(problems):
    """A value that is wrong hides no mistake around it, and none is told that only follows from it."""
    found = problems("""\
suite: x
datasets: [noise, nothing]
train: {epochs: 0}
base: {backbone: plain, objectives: [softmax]}
grid:
  modifiers: all
  layout: [item]
entries:
  - {label: a}
  - {label: a, scorer: {temperature: -1}}
  - {label: b, recommender: count, backbone: plain}
  - {label: c, recommender: coun}
  - {label: d, backbon: plain, backbone: null, objectives: softmax}
  - nonsense
  - {label: e, layout: 3, objectives: []}
  - {label: e, recommender: coun, ablate: maybe}
""")
    assert [text.removeprefix("<text>:").partition(". ")[0] for text in found] == [
        "2: datasets[0].name: no dataset named 'noise'",
        "2: datasets[1].name: no dataset named 'nothing'",
        "3: train.epochs: is 0",
        "6: grid.modifiers: is 'all'",
        "7: grid.layout[0].kind: is 'item'",
        "10: entries[1].scorer.temperature: is -1",
        "10: entries[1].label: 'a' is the label of another configuration too",
        "11: entries[2]: a recommender is a whole model",
        "12: entries[3].recommender.name: no recommender named 'coun'",
        "13: entries[4].backbon: unknown key",
        "13: entries[4].objectives: is 'softmax'",
        "14: entries[5]: is 'nonsense'",
        "15: entries[6].layout: is 3",
        "15: entries[6]: no objectives",
        "16: entries[7].recommender.name: no recommender named 'coun'",
        "16: entries[7].ablate: is 'maybe'",
        "16: entries[7].label: 'e' is the label of another configuration too",
    ]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("base", [1], "base: is a list"),
        ("base", {"objectves": ["softmax"]}, "base.objectves: unknown key"),
        ("grid", 3, "grid: is 3"),
        ("grid", {"backbon": ["plain"]}, "grid.backbon: unknown key"),
        ("entries", {}, "entries: is a mapping"),
    ],
)
def test_nothing_is_called_missing_where_it_may_be_what_is_wrong(problems, write, key, value, problem):
    found = problems(write(**({"base": {"objectives": ["softmax"]}} | {key: value})))
    assert [text.partition(". ")[0] for text in found] == [problem]


def test_files_that_cannot_be_read(problems, tmp_path):
    missing = tmp_path / "none.yaml"
    assert problems(missing) == [f"{missing}: cannot be read: No such file or directory. Expected a suite file."]
    assert problems(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory. Expected a suite file."]
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("suite: a\nx: é\n".encode("latin-1"))
    assert problems(latin) == [f"{latin}:2: not UTF-8. Expected a text file in UTF-8. Save it again in that encoding."]
    large = tmp_path / "large.yaml"
    large.write_bytes(b"\xff" * (MAX_BYTES + 1))
    assert problems(large) == [f"{large}: larger than {MAX_BYTES} bytes. Expected a suite. Is this a data file?"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n", "<text>:1: the suite is empty. Expected a mapping with suite, datasets and base."),
        ("# nothing\n", "<text>:1: the suite is empty. Expected a mapping with suite, datasets and base."),
        ("- a\n", "<text>:1: the suite is a list. Expected a mapping with suite, datasets and base."),
        ("\nword\n", "<text>:2: the suite is 'word'. Expected a mapping with suite, datasets and base."),
    ],
)
def test_texts_that_hold_no_suite(problems, text, problem):
    assert problems(text) == [problem]


def test_a_string_is_text_or_a_path(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("suite.yaml").write_text(TEXT)
    assert load_suite("suite.yaml", registry).folder == Path()
    flow = (
        "{suite: one, datasets: ['files[path=x]'], protocol: {split: leave_one_out}, "
        "base: {backbone: plain, objectives: [softmax]}}"
    )
    assert load_suite(flow, registry).suite == "one"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"suite": ...}, "suite: missing. Expected a value (name, of a folder too)."),
        (
            {"suite": "a/b"},
            "suite: is 'a/b'. Expected one that should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$' "
            "(name, of a folder too).",
        ),
        ({"datasets": ...}, "datasets: missing. Expected a list of data sets."),
        ({"datasets": []}, "datasets: missing. Expected a list of data sets."),
        ({"datasets": "files"}, "datasets: is 'files'. Expected a list of parts, such as [name]."),
        (
            {"datasets": [["files"]]},
            "datasets[0]: is a list. Expected the name of a dataset, or {name: ..., parameter: ...}.",
        ),
        (
            {"datasets": ["files[path=a]", {"name": "files", "path": "a"}]},
            "datasets: one data set is given twice. Expected each once. Remove one.",
        ),
        (
            {"datasets": [{"path": "a"}]},
            "datasets[0]: has no name. Expected {name: ..., parameter: ...}, the name of a dataset.",
        ),
        (
            {"datasets": ["files[path=a"]},
            "datasets[0]: 'files[path=a' is no part. Expected name or name[parameter=value,...]; "
            "lists need the form {name: ..., parameter: [...]}.",
        ),
        (
            {"seeds": []},
            "seeds: is a list. Expected one that should have at least 1 item (one run each; they vary training only).",
        ),
        ({"seeds": [1, 1]}, "seeds: 1 is given twice. Expected each once. Remove one."),
        (
            {"seeds": [-1]},
            "seeds[0]: is -1. Expected greater than or equal to 0 (one run each; they vary training only).",
        ),
        ({"seeds": 3}, "seeds: is 3. Expected a list (one run each; they vary training only)."),
        ({"plugins": ["tests", "tests"]}, "plugins: tests is given twice. Expected each once. Remove one."),
        (
            {"plugins": "tests"},
            "plugins: is 'tests'. Expected a list (plugins it needs; BENCHBASE_AUTOLOAD=0 loads no others).",
        ),
        (
            {"protocol": []},
            "protocol: is a list. Expected a mapping of tasks, split, window, targets, query_time, filter_seen, "
            "candidates, action_candidates, metrics.",
        ),
        (
            {"protocol": {"split": "leave_one"}},
            "protocol.split.name: no split named 'leave_one'. Did you mean 'leave_one_out'? "
            "Splits: global_time, leave_last, leave_one_out, prequential, random_exposure, temporal_ratio, "
            "user_holdout.",
        ),
        (
            {"protocol": {"split": None}},
            "protocol.split: is nothing. Expected the name of a split, or {name: ..., parameter: ...}.",
        ),
        ({"train": 3}, None),
        (
            {"train": {"windows": "chunk"}},
            "train.windows.name: no windowing named 'chunk'. Did you mean 'chunks'? Windowings: chunks, last, slide.",
        ),
        (
            {"train": {"windows": "slide"}},
            "train.windows.stride: missing. Expected a value (Events from the end of one window to the end of the "
            "next; at most a window).",
        ),
        (
            {"train": {"windows": "slide[stride=0]"}},
            "train.windows.stride: is 0. Expected greater than or equal to 1 (Events from the end of one window to the "
            "end of the next; at most a window).",
        ),
        (
            {"train": {"windows": 3}},
            "train.windows: is 3. Expected the name of a windowing, or {name: ..., parameter: ...}.",
        ),
        (
            {"base": []},
            "base: is a list. Expected a mapping of backbone, compressor, combiner, recommender, modifiers, "
            "objectives, encoders, explainers, layout, scorer, head, sequence, label, ablate.",
        ),
        (
            {"base": {"backbone": "plain", "objectives": "softmax"}},
            "base.objectives: is 'softmax'. Expected a list of parts, such as [name].",
        ),
        (
            {"base": {"backbone": "plain", "objectives": ["softmax"], "modifiers": ["boost", "boost[alpha=2]"]}},
            "base.modifiers: 'boost' is given twice. Expected each part once. Remove one.",
        ),
        (
            {"base": {"backbone": "plain", "objectives": ["softmax"], "encoders": "words"}},
            "base.encoders: is 'words'. Expected a list of parts, such as [name].",
        ),
        (
            {"base": {"backbone": "plain", "objectives": ["softmax"], "encoders": ["word"]}},
            "base.encoders[0].name: no encoder named 'word'. Did you mean 'words'? Installed: words.",
        ),
        (
            {"base": {"backbone": "plain", "objectives": ["softmax"], "layout": "pairs"}},
            "base.layout.kind: is 'pairs'. Expected 'items', 'stacked' or 'interleaved' (tokens made of an event).",
        ),
        (
            {"base": {"backbone": "plain", "objectives": ["softmax"], "layout": "a b"}},
            "base.layout: 'a b' is no part. Expected name or name[parameter=value,...]; "
            "lists need the form {name: ..., parameter: [...]}.",
        ),
        (
            {"base": {"backbone": "plain", "objectives": ["softmax"], "label": " x"}},
            "base.label: ' x' is no label. Expected printable text on one line, without spaces at its ends.",
        ),
        ({"base": {"backbon": "plain", "objectives": ["softmax"]}}, None),
        ({"grid": ["a"]}, "grid: is a list. Expected a mapping from keys to lists of values."),
        ({"grid": {"modifiers": []}}, "grid.modifiers: is a list. Expected a list of at least one value."),
        (
            {"grid": {"modifiers": ["boost"]}},
            "grid.modifiers[0]: is 'boost'. Expected a list of parts, such as [name].",
        ),
        (
            {"grid": {"label": ["a"]}},
            "grid.label: unknown key. Keys: backbone, combiner, compressor, encoders, explainers, head, layout, "
            "modifiers, objectives, recommender, scorer, sequence.",
        ),
        ({"entries": {}}, "entries: is a mapping. Expected a list of configurations."),
        (
            {"entries": ["a"]},
            "entries[0]: is 'a'. Expected a mapping of backbone, compressor, combiner, recommender, modifiers, "
            "objectives, encoders, explainers, layout, scorer, head, sequence, label, ablate.",
        ),
        ({"entries": [{"label": 3}]}, "entries[0].label: is 3. Expected a valid string (name in tables)."),
        ({"baseline": "deep"}, "baseline: no configuration is called 'deep'. Labels: plain."),
    ],
)
def test_what_a_suite_may_not_say(problems, keys, problem):
    found = problems(**keys)
    if problem is None:
        key = next(iter(keys))
        assert len(found) == 1 and found[0].startswith(key)
    else:
        assert found == [problem]


def test_dates_are_given_as_written(suite):
    text = "global_time[valid_from=2015-01-01,test_from=2016-01-01]"
    assert suite(protocol={"split": text}).protocol.split.config.test_from == 1451606400


@pytest.fixture
def installed(monkeypatch):
    """Which plugins are asked for when a registry is loaded."""
    asked = []

    def load(only=None):
        asked.append(only)
        return Registry.of(())

    monkeypatch.setattr(registries.Registry, "load", staticmethod(load))
    monkeypatch.delenv("BENCHBASE_AUTOLOAD", raising=False)
    return asked


def test_all_plugins_are_loaded_or_with_autoload_off_those_listed(installed, monkeypatch, write):
    registry_for(write(plugins=["a", "b"]))
    monkeypatch.setenv("BENCHBASE_AUTOLOAD", "0")
    registry_for(write(plugins=["a", "b", 3]))
    assert installed == [None, ["a", "b"]]


def test_with_autoload_off_a_suite_lists_its_plugins(installed, monkeypatch, write):
    monkeypatch.setenv("BENCHBASE_AUTOLOAD", "0")
    with pytest.raises(ConfigError) as error:
        load_suite(write())
    assert (
        str(error.value) == "plugins: missing. Expected a list of plugins, since BENCHBASE_AUTOLOAD=0 loads no others."
    )
    with pytest.raises(ConfigError, match="the suite is a list"):
        load_suite("- a\n")


def test_without_a_registry_the_installed_plugins_answer(installed, write):
    with pytest.raises(ConfigError, match=r"no backbone named 'plain'\. Installed: none\."):
        load_suite(write())


def test_every_key_is_described():
    for model in (Suite, Protocol, Train, Configuration, Part, ScorerConfig, LayoutConfig):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
