"""The bracket form of a part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbase.config import read_part, write_part
from benchbase.errors import BenchbaseError

names = st.from_regex(r"[a-z][a-z0-9_]*\Z", fullmatch=True).filter(lambda name: name != "name")
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(name=names, parameters=st.dictionaries(names, scalars))
def test_what_is_written_is_read_back(name, parameters):
    found = read_part(write_part(name, parameters)).plain()
    assert found.pop("name") == name
    assert {key: _number(value, parameters[key]) for key, value in found.items()} == parameters


def _number(found, wanted):
    """Floats such as 1e-07 are text to YAML, and numbers where a number is expected."""
    return float(found) if isinstance(wanted, float) and isinstance(found, str) else found


@given(st.text())
def test_any_text_is_a_part_or_a_clear_error(text):
    try:
        assert isinstance(read_part(text).plain()["name"], str)
    except BenchbaseError as error:
        assert "Expected" in str(error) or "Quote" in str(error)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("boost", {}),
        (" boost ", {}),
        ("boost[]", {}),
        ("boost[alpha=1.0]", {"alpha": 1.0}),
        ("boost[ alpha = 1 , on = no ]", {"alpha": 1, "on": False}),
        ("files[format=sequence, path=ml-1m.txt]", {"format": "sequence", "path": "ml-1m.txt"}),
        ("files[path='a, b=c]']", {"path": "a, b=c]"}),
        (r'files[path="a\"b, c", n=1]', {"path": 'a"b, c', "n": 1}),
        ("files[path='it''s']", {"path": "it's"}),
        ("files[path=it's]", {"path": "it's"}),
        ("files[path=/a/b c.txt]", {"path": "/a/b c.txt"}),
        ("files[path=a=b]", {"path": "a=b"}),
        ("files[path='#1']", {"path": "#1"}),
        ("x[a=null]", {"a": None}),
        ("x[a=---]", {"a": "---"}),
        ("x[a=1e-3]", {"a": "1e-3"}),
        ("x[a=''\n]", {"a": ""}),
    ],
)
def test_forms(text, value):
    found = read_part(text, 7)
    assert found.plain() == {"name": text.strip().partition("[")[0], **value}
    assert {child.line for child in found.value.values()} <= {7, 1} and found.line == 7


@pytest.mark.parametrize("text", ["", "a b", "boost[alpha=1", "boost]", "[a=1]", "boost[a=1] x", "a[b=1][c=2]x"])
def test_text_that_is_no_part(text):
    with pytest.raises(BenchbaseError) as error:
        read_part(text)
    assert str(error.value) == (
        f"'{text}' is no part. Expected name or name[parameter=value,...]; "
        "lists need the form {name: ..., parameter: [...]}."
    )


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a[b]", "b"),
        ("a[b=1,]", ""),
        ("a[,b=1]", ",b=1"),
        ("a[b=1 c=[2]]", "b=1 c=[2]"),
        ("a[b=[1, 2]]", "b=[1, 2]"),
        ("a[b=1][c=2]", "b=1][c=2"),
    ],
)
def test_text_that_breaks_off(text, rest):
    with pytest.raises(BenchbaseError) as error:
        read_part(text)
    assert str(error.value) == (
        f"'{text}' cannot be read from '{rest}' on. Expected parameter=value, separated by commas; "
        "lists need the form {name: ..., parameter: [...]}."
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a[b=]", ""),
        ("a[b=x #y]", "x #y"),
        ("a[b=#y]", "#y"),
        ("a[b=@x]", "@x"),
        ("a[b={x: 1}]", "{x: 1}"),
        ("a[b=*x]", "*x"),
        ("a[b=!t x]", "!t x"),
        ("a[b=- x]", "- x"),
        ("a[b='x' y]", "'x' y"),
        ("a[b='x]", "'x"),
        ("a[b=x: y]", "x: y"),
        ("a[b=a\x07]", "a\x07"),
        ("a[b=x\n--- y]", "x\n--- y"),
    ],
)
def test_values_that_are_no_scalar(text, value):
    with pytest.raises(BenchbaseError) as error:
        read_part(text)
    assert str(error.value) == f"the value '{value}' is no single YAML scalar. Quote it if it is text."


@pytest.mark.parametrize(("text", "key"), [("a[b=1,b=2]", "b"), ("a[name=b]", "name")])
def test_a_parameter_is_given_once(text, key):
    with pytest.raises(BenchbaseError) as error:
        read_part(text)
    assert str(error.value) == f"'{text}' gives {key} twice. Expected each parameter once. Remove one."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain.txt", "plain.txt"),
        ("two words", '"two words"'),
        ("no", '"no"'),
        ("1.5", '"1.5"'),
        ("", '""'),
        ("-", '"-"'),
        ('a"b', '"a\\"b"'),
        ("a\nb", '"a\\U0000000ab"'),
        ("é", '"é"'),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        (["a", 1], '["a",1]'),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_values_are_written_so_that_they_read_back(value, text):
    assert write_part("x", {"a": value}) == f"x[a={text}]"


def test_a_long_text_is_read_in_reasonable_time():
    with pytest.raises(BenchbaseError):
        read_part("a[b=" + " " * 50_000 + "[")
    assert len(read_part("a[b=" + "x" * 50_000 + "]").plain()["b"]) == 50_000
