"""Specs: a broken one cannot be made."""

from enum import Enum
from pathlib import PurePosixPath

import pytest
from pydantic import ConfigDict, Field, ValidationError

from benchbase import (
    BackboneSpec,
    CombinerSpec,
    CompressorSpec,
    Config,
    DatasetSpec,
    ModifierSpec,
    Needs,
    Negatives,
    ObjectiveSpec,
    RecommenderSpec,
    Source,
)
from benchbase.errors import PluginError
from benchbase.hooks import HOOKS
from benchbase.specs import API, KINDS, CombinerConfig, LayoutConfig, ScorerConfig, Spec, defaults


class Width(Config):
    width: int = Field(64, ge=1, description="width")


class Wanting(Config):
    first: int
    second: int
    third: int = 3


def build(config, context):
    return None


def make(kind=ObjectiveSpec, **fields):
    return kind(**{"name": "part", "config": Config, "build": build, "source": "here", **fields})


SITES = "['bias', 'boost', 'mask', 'prefix', 'readout', 'states', 'value', 'weights']"


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (
            ObjectiveSpec,
            {"name": "Part"},
            "ObjectiveSpec 'Part': not a part name. Expected lower-case letters, digits and _, starting with a letter.",
        ),
        (
            ObjectiveSpec,
            {"config": dict},
            "ObjectiveSpec 'part': config is <class 'dict'>. Expected a subclass of benchbase.Config.",
        ),
        (
            ObjectiveSpec,
            {"build": None},
            "ObjectiveSpec 'part': build is not callable. Expected build(config, context).",
        ),
        (
            ObjectiveSpec,
            {"source": ""},
            "ObjectiveSpec 'part': source is empty. Expected the paper or the origin of the part.",
        ),
        (
            BackboneSpec,
            {"sites": {"biass"}},
            f"BackboneSpec 'part': sites ['biass'] unknown. Expected a set out of {SITES}.",
        ),
        (BackboneSpec, {"sites": "bias"}, f"BackboneSpec 'part': sites 'bias' unknown. Expected a set out of {SITES}."),
        (
            BackboneSpec,
            {"layouts": {"pairs"}},
            "BackboneSpec 'part': layouts ['pairs'] unknown. Expected a set out of "
            "['interleaved', 'items', 'stacked'].",
        ),
        (
            BackboneSpec,
            {"training": "both"},
            "BackboneSpec 'part': training 'both' unknown. Expected 'next' or 'masked'.",
        ),
        (
            BackboneSpec,
            {"attention": "hard"},
            "BackboneSpec 'part': attention 'hard' unknown. Expected 'softmax', 'pointwise' or 'none'.",
        ),
        (ModifierSpec, {"sites": set()}, f"ModifierSpec 'part': sites is empty. Expected at least one out of {SITES}."),
        (
            ModifierSpec,
            {"sites": {"x", "bias"}},
            f"ModifierSpec 'part': sites ['x'] unknown. Expected a set out of {SITES}.",
        ),
        (
            CombinerSpec,
            {},
            "CombinerSpec 'part': config is Config. Expected a subclass of benchbase.CombinerConfig, which has "
            "`balance`.",
        ),
        (
            RecommenderSpec,
            {"guard": True, "config": Wanting},
            "RecommenderSpec 'part': a guard without a default for first, second. Expected defaults for all: "
            "guards join suites by themselves.",
        ),
    ],
)
def test_a_spec_that_breaks_the_contract_cannot_be_made(kind, fields, message):
    with pytest.raises(PluginError) as error:
        make(kind, **fields)
    assert str(error.value) == message


@pytest.mark.parametrize(("kind", "fields", "message"), [
    (Negatives, {"count": 0}, "Negatives: count is 0. Expected a whole number of at least 1."),
    (Negatives, {"count": True}, "Negatives: count is True. Expected a whole number of at least 1."),
    (Negatives, {"count": 1.5}, "Negatives: count is 1.5. Expected a whole number of at least 1."),
    (Negatives, {"count": 1, "law": "zipf"},
     "Negatives: law 'zipf' unknown. Expected one of uniform, popularity, in_batch, mixed."),
    (Negatives, {"count": 1, "law": "in_batch"}, "Negatives: law 'in_batch' with scope 'position'. Expected scope "
     "'batch', since all of a step share its targets."),
    (Negatives, {"count": 1, "law": "mixed", "mix": 1.5}, "Negatives: mix is 1.5. Expected a share from 0 to 1."),
    (Negatives, {"count": 1, "law": "mixed", "mix": True}, "Negatives: mix is True. Expected a share from 0 to 1."),
    (Negatives, {"count": 1, "scope": "row"},
     "Negatives: scope 'row' unknown. Expected one of position, sequence, batch."),
    (Needs, {"tasks": {"next"}}, "Needs: tasks ['next'] unknown. Expected a set out of ['action', 'next_item']."),
    (Needs, {"tasks": "action"}, "Needs: tasks is 'action'. Expected a set of names."),
    (Needs, {"layouts": {"item"}},
     "Needs: layouts ['item'] unknown. Expected a set out of ['interleaved', 'items', 'stacked']."),
    (Needs, {"attention": {"hard"}},
     "Needs: attention ['hard'] unknown. Expected a set out of ['none', 'pointwise', 'softmax']."),
    (Needs, {"training": ["next"]}, "Needs: training is ['next']. Expected a set of names."),
    (Needs, {"training": {"nxt"}}, "Needs: training ['nxt'] unknown. Expected a set out of ['masked', 'next']."),
    (Needs, {"traces": "glow"}, "Needs: traces is 'glow'. Expected a set of names."),
    (Needs, {"features": None}, "Needs: features is None. Expected a set of names."),
    (Needs, {"categories": "genre"}, "Needs: categories is 'genre'. Expected a set of names."),
])
def test_needs_that_nothing_could_meet_cannot_be_made(kind, fields, message):
    with pytest.raises(PluginError) as error:
        kind(**fields)
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["", "1a", "_a", "a-b", "a b", "a\n", "é", 3])
def test_names_are_plain(name):
    with pytest.raises(PluginError, match="not a part name"):
        make(name=name)


@pytest.mark.parametrize("taken", ["name", "weight"])
def test_keys_of_the_suite_are_no_parameters(taken):
    config = type("Taken", (Config,), {"__annotations__": {taken: int}, taken: 1})
    with pytest.raises(PluginError) as error:
        make(config=config)
    assert str(error.value) == f"ObjectiveSpec 'part': parameter '{taken}' is reserved for the suite. Rename it."


def test_every_kind_can_be_made_and_is_frozen():
    class Balance(CombinerConfig):
        pass

    more = {
        ModifierSpec: {"sites": {"bias"}},
        CombinerSpec: {"config": Balance},
        RecommenderSpec: {"guard": True, "config": Width},
    }
    for kind in (DatasetSpec, BackboneSpec, ModifierSpec, ObjectiveSpec, CombinerSpec, CompressorSpec, RecommenderSpec):
        spec = make(kind, **more.get(kind, {}))
        assert KINDS[spec.kind] is kind and spec.api == API
        with pytest.raises(AttributeError):
            spec.name = "other"


def test_every_kind_has_one_hook():
    kinds = [kind for offered in HOOKS.values() for kind in offered]
    assert sorted(kinds) == sorted(KINDS)


def test_a_guard_needs_defaults_and_others_do_not():
    assert make(RecommenderSpec, config=Wanting).guard is False


def test_a_recommender_is_taken_to_depend_on_its_seed_unless_it_says_otherwise():
    assert not make(RecommenderSpec).deterministic and make(RecommenderSpec, deterministic=True).deterministic


def test_fields_may_depend_on_parameters():
    spec = make(BackboneSpec, config=Width, causal=lambda config: config.width > 10, sites=lambda config: {"bias"})
    assert spec.resolve("causal", Width(width=5)) is False and spec.resolve("causal", Width()) is True
    assert spec.resolve("training", Width()) == "next"


def test_a_data_set_reads_no_files_unless_it_says_so():
    assert make(DatasetSpec).files(Config(), None) == []


def test_a_source_is_written_on_one_line():
    assert str(Source(paper="A 2020", code="github")) == "A 2020, github"
    with pytest.raises(PluginError, match="source is empty"):
        make(source=Source(paper=""))


def test_parameters_are_frozen_strict_about_names_and_finite():
    with pytest.raises(ValidationError, match="frozen"):
        Width().width = 3
    with pytest.raises(ValidationError, match="Extra inputs"):
        Width(widht=3)
    with pytest.raises(ValidationError, match="finite"):
        ScorerConfig(temperature=float("inf"))


def test_defaults_are_plain_data_in_one_order():
    class Colour(Enum):
        RED = "red"

    class Other:
        def __str__(self):
            return "other"

    class All(Config):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        names: frozenset[str] = frozenset({"b", "a", "c"})
        pairs: tuple[tuple[int, float], ...] = ((1, 2.0),)
        colour: Colour = Colour.RED
        path: PurePosixPath = PurePosixPath("a/b")
        inner: LayoutConfig = LayoutConfig()
        table: dict[int, None] = Field({1: None})
        other: Other = Other()

    assert defaults(All()) == {
        "names": ["a", "b", "c"],
        "pairs": [[1, 2.0]],
        "colour": "red",
        "path": "a/b",
        "table": {"1": None},
        "other": "other",
        "inner": {"kind": "items", "position": "from_start", "user_token": False},
    }


def test_spec_is_no_kind_of_its_own():
    assert Spec.kind == "" and "" not in KINDS


@pytest.mark.parametrize(("kind", "fields", "message"), [
    ("recommender", {"needs": None}, "needs is None. Expected benchbase.Needs, or a function that returns it."),
    ("recommender", {"refuse": "no"}, r"refuse is not callable. Expected refuse\(config, context\), or None."),
    ("dataset", {"files": []}, r"files is not callable. Expected files\(config, context\)."),
    ("dataset", {"fetch": "url"}, r"fetch is not callable. Expected fetch\(config, context\), or None."),
    ("dataset", {"truth": "yes"}, r"truth is not callable. Expected truth\(config, catalogue, seed\), or None."),
    ("dataset", {"licence": None}, "licence is None. Expected its name as text."),
])
def test_what_is_asked_of_a_spec_later_is_checked_when_it_is_made(kind, fields, message):
    with pytest.raises(PluginError, match=message):
        KINDS[kind](name="x", config=Config, build=build, source="tests", **fields)


@pytest.mark.parametrize(("kind", "what", "value", "message"), [
    ("objective", "needs", None, "ObjectiveSpec 'x': needs is None. Expected benchbase.Needs"),
    ("backbone", "sites", None, "BackboneSpec 'x': sites is None. Expected a set of names."),
    ("backbone", "sites", {"nowhere"}, r"sites \['nowhere'\] unknown. Expected a set out of"),
    ("backbone", "layouts", "items", "layouts is 'items'. Expected a set of names."),
    ("backbone", "training", "later", "training 'later' unknown. Expected one of masked, next."),
    ("backbone", "attention", ["softmax"], r"attention \['softmax'\] unknown. Expected one of none, pointwise"),
    ("backbone", "publishes", "trace", "BackboneSpec 'x': publishes is 'trace'. Expected a set of names."),
    ("modifier", "publishes", 7, "ModifierSpec 'x': publishes is 7. Expected a set of names."),
])
def test_what_a_spec_answers_is_checked_when_it_is_asked(kind, what, value, message):
    fields = {"sites": {"bias"}} if kind == "modifier" else {}
    spec = KINDS[kind](name="x", config=Config, build=build, source="tests", **{**fields, what: lambda config: value})
    with pytest.raises(PluginError, match=message):
        spec.resolve(what, Config())
