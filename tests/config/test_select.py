"""Selectors of runs."""

import pytest

from benchbase.config import parse_selector, selected
from benchbase.errors import BenchbaseError


@pytest.fixture
def run(suite, registry):
    """One run: a configuration, its data set and its seed."""
    loaded = suite(
        base={
            "backbone": "plain[width=32]",
            "objectives": ["softmax", "extra"],
            "modifiers": ["boost", "tilt"],
            "label": "boost-x[a=1,b=2]",
            "layout": "stacked",
            "compressor": "buckets",
        }
    )
    return loaded.configurations(registry)[0], loaded.datasets[0], 2


@pytest.mark.parametrize(
    "text",
    [
        "boost*",
        "label=boost*",
        "boost-x[a=1,b=2]",
        "label=boost-?[a=1,b=2]",
        "*",
        "dataset=files",
        "dataset=f*",
        "dataset=files[path=a.*]",
        "seed=2",
        " seed = 2 ",
        "backbone=plain",
        "backbone=plain[width=32]",
        "backbone=plain[width=32,dropout=0.1]",
        "backbone=pl*[width=3*]",
        "modifiers=tilt",
        "modifier=boost[alpha=1]",
        "objectives=extra",
        "objective=softmax",
        "compressor=buckets",
        "layout=stacked",
        "label=boost*,seed=2,backbone=plain",
    ],
)
def test_what_matches(run, text):
    assert parse_selector(text).matches(*run)


@pytest.mark.parametrize(
    "text",
    [
        "boost",
        "label=Boost*",
        "label=boost-[a=1,b=2]",
        "dataset=file",
        "dataset=files[path=b.txt]",
        "seed=1",
        "seed=22",
        "backbone=deep",
        "backbone=plain[width=33]",
        "backbone=plain[depth=1]",
        "modifiers=softmax",
        "combiner=*",
        "layout=items",
        "recommender=*",
        "label=boost*,seed=3",
    ],
)
def test_what_does_not(run, text):
    assert not parse_selector(text).matches(*run)


@pytest.mark.parametrize("text", [
    "CAUSE, window 32", "label=CAUSE, window 32", "label=CAUSE*, window 32,seed=2", " seed=2 , CAUSE, window 32 ",
    "CAUSE, window ?2, backbone=plain",
])
def test_a_label_may_hold_commas(suite, registry, text):
    loaded = suite(base={"backbone": "plain", "objectives": ["softmax"], "label": "CAUSE, window 32"})
    run = loaded.configurations(registry)[0], loaded.datasets[0], 2
    assert parse_selector(text).matches(*run)
    assert not parse_selector(text.replace("window", "windows")).matches(*run)


def test_a_recommender_has_no_layout(suite, registry):
    loaded = suite(base={"recommender": "count"})
    run = loaded.configurations(registry)[0], loaded.datasets[0], 1
    assert parse_selector("recommender=count").matches(*run)
    assert not parse_selector("layout=items").matches(*run)


def test_several_selectors_are_alternatives_and_none_means_all(run):
    assert selected([parse_selector("seed=1"), parse_selector("seed=2")], *run)
    assert not selected([parse_selector("seed=1"), parse_selector("seed=3")], *run)
    assert selected([], *run)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "label has no pattern. Expected for example label=a*."),
        ("seed=", "seed has no pattern. Expected for example seed=1."),
        ("seed=2,", "label has no pattern. Expected for example label=a*."),
        ("seed=two", "the seed 'two' is no whole number. Expected for example seed=1."),
        (
            "sed=2",
            "no key named 'sed'. Did you mean 'seed'? Keys: backbone, combiner, compressor, dataset, encoders, "
            "explainers, label, layout, modifiers, objectives, recommender, seed.",
        ),
        (
            "backbone=a b",
            "'a b' is no part. Expected name or name[parameter=value,...]; "
            "lists need the form {name: ..., parameter: [...]}.",
        ),
        (
            "dataset=a[x]",
            "'a[x]' cannot be read from 'x' on. Expected parameter=value, separated by commas; "
            "lists need the form {name: ..., parameter: [...]}.",
        ),
    ],
)
def test_selectors_that_say_nothing(text, problem):
    with pytest.raises(BenchbaseError) as error:
        parse_selector(text)
    assert str(error.value) == f"selector '{text}': {problem}"
