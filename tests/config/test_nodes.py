"""YAML as a tree: lines for every value, and nothing that YAML should not bring."""

import pytest
import yaml

from benchbase.config import nodes
from benchbase.config.nodes import Node, Problems, from_plain, join, read_yaml
from benchbase.errors import ConfigError
from benchbase.specs import ScorerConfig


def read(text):
    return read_yaml(text, Problems("s.yaml"))


def refused(text):
    with pytest.raises(ConfigError) as error:
        read(text)
    return list(error.value.problems)


def test_values_know_their_lines():
    tree = read("a: 1\nb:\n  - x\n  - {c: 2}\n")
    assert tree.plain() == {"a": 1, "b": ["x", {"c": 2}]}
    assert tree.line_of("b") == 2
    inner = tree.child("b").child(1)
    assert (inner.line, inner.child("c").line) == (4, 4)
    assert tree.child("z") is None and tree.child("b").child(9) is None and inner.child("c").child(0) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-12", -12),
        ("1_000", 1000),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.0e+3", 1000.0),
        ("1_0.5", 10.5),
        ("true", True),
        ("No", False),
        ("off", False),
        ("on", True),
        ("~", None),
        ("null", None),
        ("''", ""),
        ("'1'", "1"),
        ("1e-3", "1e-3"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("0x1f", "0x1f"),
        ("2001-01-01", "2001-01-01"),
        (".nan", ".nan"),
        ("-.inf", "-.inf"),
        ("=", "="),
        ("9" * 400, "9" * 400),
    ],
)
def test_scalars_are_read_as_a_reader_would(text, value):
    found = read(f"a: {text}").child("a")
    assert found.value == value and type(found.value) is type(value)


def test_a_repeated_key_is_refused():
    assert refused("a: 1\nb: {c: 1,\n  c: 2}\na: 3\n") == [
        "s.yaml:3: b.c: given twice, first on line 2. Remove one.",
        "s.yaml:4: a: given twice, first on line 1. Remove one.",
    ]


def test_a_key_that_is_no_name_is_refused():
    assert refused("a: {[1]: 2}") == ["s.yaml:1: a: a key that is no plain name. Expected a name."]


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.getcwd", "!mine", "!!set", "!!binary"])
def test_tags_are_refused(tag):
    value = "{}" if tag == "!!set" else "x" if tag in ("!mine", "!!binary") else "[]"
    (problem,) = refused(f"a: {tag} {value}")
    assert problem.startswith("s.yaml:1: a: the tag ")
    assert problem.endswith(" is not allowed. Expected plain values. Remove it.")


def test_aliases_and_merges_are_expanded():
    assert read("a: &x {b: 1, c: 2}\nd: *x\ne: {<<: *x, c: 3}\n").plain() == {
        "a": {"b": 1, "c": 2},
        "d": {"b": 1, "c": 2},
        "e": {"b": 1, "c": 3},
    }
    tree = read("a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne:\n  <<: [*x, *y]\n")
    assert tree.child("e").plain() == {"b": 1, "d": 3}
    assert tree.child("e").line_of("d") == 2


def test_only_mappings_merge():
    assert refused("a: &x [1]\nb: {<<: *x}") == ["s.yaml:2: b.<<: is 1. Expected a mapping."]


def test_an_alias_inside_itself_is_refused():
    assert refused("a: &x [*x]") == ["s.yaml:1: a[0]: an alias inside its own anchor. Expected a value that ends."]


def test_aliases_that_multiply_are_bounded():
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    (problem,) = refused(text)
    assert f"more than {nodes.MAX_NODES} values once aliases are expanded. Expected a suite." in problem


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{b: " * 5_000, "- " * 5_000])
def test_deep_nesting_is_refused_before_it_is_composed(text):
    assert refused(text) == [f"s.yaml:1: nested deeper than {nodes.MAX_DEPTH}. Expected a suite."]


def test_long_text_is_refused():
    assert refused("#" * (nodes.MAX_BYTES + 1)) == [
        "s.yaml: longer than 1000000 characters. Expected a suite. Is this a data file?"
    ]


def test_control_characters_are_refused():
    assert refused("a: 1\nb: \x07") == ["s.yaml:2: a control character. Expected plain text."]


def test_two_documents_are_refused():
    assert refused("a: 1\n---\nb: 2\n") == [
        "s.yaml:2: not YAML: but found another document. Expected one YAML document."
    ]


def test_brackets_in_flow_style_are_told_to_be_quoted():
    (problem,) = refused("x: 1\nbase:\n  modifiers: [boost[alpha=1.0], tilt]\n")
    assert problem == (
        "s.yaml:3: not YAML: did not find expected ',' or ']'. Expected one YAML document. "
        'Inside [...] or {...} a part with brackets is quoted: "name[parameter=value]".'
    )
    (problem,) = refused("{split: leave[x=1]}")
    assert "is quoted" in problem
    (problem,) = refused("a: [1\nb: 2")
    assert problem.startswith("s.yaml:") and "is quoted" not in problem


def test_both_yaml_loaders_give_the_same_tree_and_refusals(monkeypatch):
    texts = ["a: &x {b: 1e-3}\nc: [*x, no, '1']\n", "a: [b[c=1], d]\n", "a: 1\na: 2\n", "a: \x07"]
    fast = [_outcome(text) for text in texts]
    monkeypatch.setattr(nodes, "_LOADER", yaml.SafeLoader)
    slow = [_outcome(text) for text in texts]
    assert slow[0] == fast[0] and slow[2:] == fast[2:]
    assert slow[1][0].startswith("s.yaml:1: not YAML: ") and "is quoted" in slow[1][0]


def _outcome(text):
    try:
        return read(text)
    except ConfigError as error:
        return error.problems


def test_an_empty_text_is_nothing():
    assert read("# only a comment\n") == Node(None, 1)


def test_python_values_become_the_same_tree_without_lines():
    from pathlib import Path

    problems = Problems()
    tree = from_plain({"a": (1, 2.5), "b": {"c": None}, "p": Path("x/y"), "s": ScorerConfig()}, problems)
    assert tree.plain() == {
        "a": [1, 2.5],
        "b": {"c": None},
        "p": str(Path("x/y")),
        "s": {"score": "dot", "output": "tied", "temperature": 1.0, "bias": False},
    }
    assert tree.line is None and problems.texts() == []


def test_python_values_that_are_not_plain_are_refused():
    problems = Problems()
    endless = []
    endless.append(endless)
    from_plain({"a": object(), "b": [{1, 2}], 3: 4, "c": endless}, problems)
    assert problems.texts() == [
        "the key 3 is no text. Expected names as keys.",
        "a: object is no plain value. Expected text, a number, true, false, a list or a mapping.",
        "b[0]: set is no plain value. Expected text, a number, true, false, a list or a mapping.",
        "c" + "[0]" * nodes.MAX_DEPTH + f": nested deeper than {nodes.MAX_DEPTH}. Expected a suite.",
    ]


def test_problems_are_sorted_by_line_and_given_once():
    problems = Problems("s.yaml")
    for line in (9, 2, 9):
        problems.add(line, "a", "wrong.")
    problems.add(None, "", "unreadable.")
    assert problems.texts() == ["s.yaml: unreadable.", "s.yaml:2: a: wrong.", "s.yaml:9: a: wrong."]
    with pytest.raises(ConfigError) as error:
        problems.check()
    assert error.value.problems == tuple(problems.texts())
    Problems().check()


def test_paths():
    assert join(join(join("", "base"), "modifiers"), 0) == "base.modifiers[0]"


def test_words_for_values():
    assert [from_plain(value, Problems()).kind() for value in ({}, [], None, "x", 1, True)] == [
        "a mapping",
        "a list",
        "nothing",
        "'x'",
        "1",
        "True",
    ]
