"""From base, grid and entries to configurations, and what they are called."""

import pytest

from benchbase.config import load_suite
from benchbase.errors import ConfigError

MODEL = {"backbone": "plain", "objectives": ["softmax"]}
BOTH = {**MODEL, "objectives": ["softmax", "extra"]}


def names(configuration):
    return [part.text for part in configuration.parts()]


def test_base_alone_is_one_configuration(suite, registry):
    (only,) = suite().configurations(registry)
    assert names(only) == ["plain", "softmax"] and only.label == "plain"


def test_a_grid_is_a_product_in_the_order_of_the_keys_of_a_configuration(suite, registry):
    grid = {"modifiers": [[], ["boost"]], "backbone": ["plain", "deep"]}
    rows = suite(grid=grid).configurations(registry)
    assert [names(row) for row in rows] == [
        ["plain", "softmax"],
        ["plain", "boost", "softmax"],
        ["deep", "softmax"],
        ["deep", "boost", "softmax"],
    ]
    turned = suite(grid=dict(reversed(grid.items()))).configurations(registry)
    assert turned == rows


def test_a_value_of_the_grid_replaces_the_whole_key(suite, registry):
    base = {"backbone": "plain[width=32]", "objectives": ["softmax"], "modifiers": ["boost", "tilt"]}
    rows = suite(base=base, grid={"backbone": ["plain"], "modifiers": [["tilt"]]}).configurations(registry)
    assert [names(row) for row in rows] == [["plain", "tilt", "softmax"]]


def test_entries_are_base_plus_their_keys_and_follow_the_grid(suite, registry):
    rows = suite(
        base={**MODEL, "modifiers": ["tilt"]},
        grid={"backbone": ["deep"]},
        entries=[{"modifiers": []}, {"layout": "stacked"}],
    ).configurations(registry)
    assert [names(row) for row in rows] == [
        ["deep", "tilt", "softmax"],
        ["plain", "softmax"],
        ["plain", "tilt", "softmax"],
    ]
    assert [row.layout.kind for row in rows] == ["items", "items", "stacked"]


def test_entries_without_grid_follow_a_whole_base_and_complete_a_partial_one(suite, labels):
    assert labels(entries=[{"backbone": "deep"}]) == ["plain", "deep"]
    assert labels(base={"objectives": ["softmax"]}, entries=[{"backbone": "deep"}]) == ["deep"]
    assert labels(base=..., entries=[{"recommender": "count"}]) == ["count"]


def test_a_recommender_and_a_model_drop_each_other_from_base(suite, registry):
    rows = suite(
        base={**MODEL, "modifiers": ["boost"], "scorer": {"score": "cosine"}}, entries=[{"recommender": "count"}]
    ).configurations(registry)
    assert names(rows[1]) == ["count"] and rows[1].canonical() == {"recommender": {"name": "count"}}
    rows = suite(base={"recommender": "count"}, entries=[MODEL]).configurations(registry)
    assert [names(row) for row in rows] == [["count"], ["plain", "softmax"]]


def test_rows_that_say_the_same_are_one(labels):
    assert labels(grid={"modifiers": [["boost"], ["boost[alpha=1.0]"]]}) == ["plain"]
    assert labels(entries=[{"label": "mine", "layout": "items"}]) == ["mine"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"base": ...},
            ["base: neither backbone nor recommender. Expected one of them, here or in base."],
        ),
        ({"base": {}}, ["base: neither backbone nor recommender. Expected one of them, here or in base."]),
        (
            {"base": {"backbone": "plain"}},
            ["base: no objectives. Expected at least one, here or in base: nothing would be learned."],
        ),
        (
            {"base": {}, "grid": {"modifiers": [[], ["boost"]]}},
            ["grid: neither backbone nor recommender. Expected one of them, here or in base."],
        ),
        (
            {"entries": [{"backbone": None}]},
            ["entries[0]: neither backbone nor recommender. Expected one of them, here or in base."],
        ),
        (
            {"entries": [{"recommender": "count", "modifiers": ["boost"], "backbone": "deep"}]},
            ["entries[0]: a recommender is a whole model. Expected it without backbone, modifiers."],
        ),
        (
            {"entries": [{"label": "a", "backbone": "deep"}, {"label": "a", "layout": "stacked"}]},
            ["entries[1].label: 'a' is the label of another configuration too. Change one."],
        ),
        (
            {"entries": [{"label": "a", "backbone": "deep"}, {"label": "b", "backbone": "deep[width=64]"}]},
            ["entries[1]: 'b' is the same configuration as 'a'. Expected it once. Remove one."],
        ),
        (
            {"base": {**MODEL, "label": "x"}, "grid": {"modifiers": [[]]}},
            ["base.label: a grid makes several configurations. Expected labels on entries only."],
        ),
        (
            {
                "base": {**MODEL, "modifiers": ["boost"], "label": "a", "ablate": True},
                "entries": [{"label": "a - boost", "backbone": "deep"}],
            },
            [
                "base: its ablation would be called 'a - boost', as another configuration is. "
                "Expected labels that differ. Change one."
            ],
        ),
    ],
)
def test_keys_that_make_no_whole(problems, keys, expected):
    assert problems(**keys) == expected


def test_a_grid_is_bounded(problems):
    keys = ("modifiers", "objectives", "compressor", "scorer", "layout")
    values = {"compressor": "buckets", "scorer": {}, "layout": "items"}
    grid = {key: [values.get(key, [])] * 10 for key in keys}
    assert problems(grid=grid) == ["grid: 100000 combinations. Expected at most 10000. Make several suites."]


def test_such_problems_carry_lines(problems):
    (problem,) = problems(
        "suite: a\ndatasets: ['files[path=x]']\nbase: {backbone: plain, objectives: [softmax]}\n"
        "entries:\n  - {backbone: deep}\n  - {backbone: null}\n"
    )
    assert problem.startswith("<text>:6: entries[1]: neither backbone nor recommender.")


def test_a_suite_made_in_python_is_checked_when_it_is_expanded(suite, registry):
    broken = suite().model_copy(update={"base": {}})
    with pytest.raises(ConfigError) as error:
        broken.configurations(registry)
    assert error.value.problems == ("base: neither backbone nor recommender. Expected one of them, here or in base.",)


def test_ablation_leaves_out_each_part_but_the_first_objective(labels):
    base = {**BOTH, "label": "all", "modifiers": ["boost", "tilt"], "encoders": ["words"],
            "compressor": "buckets", "ablate": True}
    assert labels(base=base) == ["all", "all - words", "all - boost", "all - tilt", "all - extra", "all - buckets"]


def test_ablated_rows_lack_exactly_their_part(suite, registry):
    base = {**BOTH, "label": "all", "modifiers": ["boost", "tilt"], "ablate": True}
    rows = {row.label: names(row) for row in suite(base=base).configurations(registry)}
    assert rows["all - boost"] == ["plain", "tilt", "softmax", "extra"]
    assert rows["all - extra"] == ["plain", "boost", "tilt", "softmax"]


def test_a_balanced_objective_leaves_with_its_combiner(suite, registry):
    combiner = {"name": "even", "balance": ["softmax", "extra.term"]}
    rows = suite(base={**BOTH, "label": "all", "combiner": combiner, "ablate": True}).configurations(registry)
    assert {row.label: names(row) for row in rows} == {
        "all": ["plain", 'even[balance=["softmax","extra.term"]]', "softmax", "extra"],
        "all - extra": ["plain", "softmax"],
        "all - even": ["plain", "softmax", "extra"],
    }


def test_an_objective_that_is_not_balanced_leaves_alone(suite, registry):
    base = {**MODEL, "objectives": ["softmax", "extra", "third"], "label": "all", "ablate": True}
    base["combiner"] = {"name": "even", "balance": ["softmax", "extra"]}
    rows = {row.label: row for row in suite(base=base).configurations(registry)}
    assert rows["all - third"].combiner == rows["all"].combiner
    assert rows["all - extra"].combiner is None


def test_an_ablation_that_is_there_already_is_not_repeated(labels):
    assert labels(
        grid={"modifiers": [[], ["tilt"]]}, entries=[{"label": "two", "modifiers": ["tilt", "boost"], "ablate": True}]
    ) == ["plain", "tilt", "two", "two - tilt"]


def test_ablate_in_base_holds_for_the_grid_and_not_for_entries(labels):
    base = {**MODEL, "ablate": True}
    assert labels(
        base=base,
        grid={"modifiers": [["boost", "tilt"]]},
        entries=[{"label": "e", "modifiers": ["tilt"], "compressor": "buckets"}],
    ) == ["plain", "plain - boost", "plain - tilt", "e"]


def test_guards_join_next_item_suites_at_the_end(guarded, write):
    def of(**keys):
        return [each.label for each in load_suite(write(**keys), guarded).configurations(guarded)]

    assert of() == ["plain", "popular"]
    assert of(guards=False) == ["plain"]
    assert of(protocol={"split": "leave_one_out", "tasks": ["action"]}) == ["plain"]
    assert of(protocol={"split": "leave_one_out", "tasks": ["next_item", "action"]}) == ["plain", "popular"]
    assert of(entries=[{"label": "mine", "recommender": "popular"}]) == ["plain", "mine"]
    assert of(base={**MODEL, "label": "popular"}) == ["popular", "popular (guard)"]
    assert of(baseline="popular") == ["plain", "popular"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"grid": {"backbone": ["plain", "deep"]}}, ["plain", "deep"]),
        ({"grid": {"modifiers": [[], ["boost"], ["boost", "tilt"]]}}, ["plain", "boost", "boost + tilt"]),
        ({"grid": {"modifiers": [["boost"], ["boost[alpha=2]"]]}}, ["boost[alpha=1.0]", "boost[alpha=2.0]"]),
        (
            {"grid": {"modifiers": [["boost[on=false]"], ["boost[on=false,alpha=2]"]]}},
            ["boost[alpha=1.0]", "boost[alpha=2.0]"],
        ),
        ({"grid": {"modifiers": [["boost", "tilt"], ["tilt"]]}}, ["boost", "plain"]),
        ({"grid": {"backbone": ["plain[width=8]", "plain[width=9]"]}}, ["plain[width=8]", "plain[width=9]"]),
        ({"grid": {"objectives": [["softmax"], ["softmax", {"name": "extra", "weight": 0.5}]]}}, ["plain", "extra"]),
        (
            {"grid": {"objectives": [[{"name": "softmax", "weight": {"a": 1}}], ["softmax"]]}},
            ['softmax[weight={"a":1.0}]', "softmax[weight=1.0]"],
        ),
        ({"grid": {"layout": ["items", "stacked"]}}, ["items", "stacked"]),
        (
            {"grid": {"layout": ["items", {"kind": "items", "position": "from_end"}]}},
            ["items[position=from_start]", "items[position=from_end]"],
        ),
        ({"grid": {"scorer": [{"score": "dot"}, {"score": "cosine"}]}}, ["scorer[score=dot]", "scorer[score=cosine]"]),
        (
            {"grid": {"compressor": [None, "buckets"], "backbone": ["plain", "deep"]}},
            ["plain", "plain + buckets", "deep", "deep + buckets"],
        ),
        (
            {"grid": {"modifiers": [["boost", "tilt"], ["tilt", "boost"]]}},
            ["plain + boost + tilt + softmax", "plain + tilt + boost + softmax"],
        ),
        ({"entries": [{"label": "plain", "backbone": "deep"}]}, ["plain + softmax", "plain"]),
        (
            {"entries": [{"label": "plain", "backbone": "deep"}, {"label": "plain + softmax", "layout": "stacked"}]},
            ["plain + softmax (2)", "plain", "plain + softmax"],
        ),
        ({"entries": [{"recommender": "count"}, {"backbone": "deep"}]}, ["plain", "count", "deep"]),
    ],
)
def test_labels_name_what_differs(labels, keys, expected):
    assert labels(**keys) == expected


def test_data_sets_are_labelled_by_what_differs(suite):
    assert suite().dataset_labels == ["files"]
    two = suite(datasets=["files[path=a]", "files[path=b]"])
    assert two.dataset_labels == ["files[path=a]", "files[path=b]"]
