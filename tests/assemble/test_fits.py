"""Every refusal: both names, what is missing, what was expected; and whatever fits is let through."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import Field

from benchbase.assemble import RunData, assemble, check
from benchbase.config import Configuration, Part, Protocol, Suite, Train
from benchbase.data import Prepared, split
from benchbase.errors import Refusal, RunError
from benchbase.registry import Registry
from benchbase.specs import (
    BackboneSpec,
    CombinerConfig,
    CombinerSpec,
    CompressorSpec,
    Config,
    LayoutConfig,
    ModifierSpec,
    Needs,
    ObjectiveSpec,
    RecommenderSpec,
)
from benchbase.testing.world import tiny_world


def never(config, context):
    raise AssertionError("a check builds nothing")


def spec(kind, name, config=Config, **fields):
    kinds = {"backbone": BackboneSpec, "modifier": ModifierSpec, "objective": ObjectiveSpec, "combiner": CombinerSpec,
             "compressor": CompressorSpec, "recommender": RecommenderSpec}
    return kinds[kind](name=name, config=config, build=never, source="here", **fields)


class Balance(CombinerConfig):
    balance: tuple[str, str] = Field(("loss.a", "other.b"), description="the two losses")


class Seven(Config):
    names: int = Field(7, description="how many")


PLAIN = spec("backbone", "plain", sites={"mask", "prefix"})
POINTWISE = spec("backbone", "pointwise", attention="pointwise", sites={"mask"})
MASKED = spec("backbone", "masked", training="masked", causal=False, sites={"prefix", "bias"})
NARROW = spec("backbone", "narrow", layouts={"items", "stacked"})
LOSS = spec("objective", "loss")


def data_of(**changes):
    """The tiny world split by order; `changes` replace columns of its catalogue or interactions."""
    world = tiny_world()
    of_events = {"action_names": "action_names", "actions": "actions", "timestamp": "timestamp"}
    catalogue = replace(world.catalogue, **{k: v for k, v in changes.items() if k not in of_events})
    interactions = replace(world.interactions, **{k: v for k, v in changes.items() if k in of_events})
    return RunData(None, Prepared(interactions, catalogue, {}, "tiny"), split(interactions, catalogue, "leave_one_out"))


DATA = data_of()
N_EVENTS = DATA.prepared.interactions.n_events


def part(chosen, config=None):
    return Part(kind=chosen.kind, name=chosen.name, config=config or chosen.config())


def verdict(*specs, data=DATA, layout="items", protocol=None, train=None, combiner_config=None, twice=()):
    """What `check` says of a configuration of these specs: the refusal's text, or None."""
    of = {kind: [part(s, combiner_config if kind == "combiner" else None) for s in (*specs, *twice) if s.kind == kind]
          for kind in ("backbone", "modifier", "objective", "combiner", "compressor", "recommender")}
    configuration = Configuration(
        backbone=of["backbone"][0] if of["backbone"] else None, modifiers=tuple(of["modifier"]),
        objectives=tuple(of["objective"]), combiner=of["combiner"][0] if of["combiner"] else None,
        compressor=of["compressor"][0] if of["compressor"] else None,
        layout=layout if isinstance(layout, LayoutConfig) else LayoutConfig(kind=layout),
        recommender=of["recommender"][0] if of["recommender"] else None,
    )
    suite = suite_of(protocol, train)
    try:
        check(configuration, suite, Registry.of(specs), data)
    except Refusal as refusal:
        return str(refusal)
    return None


def suite_of(protocol=None, train=None):
    return Suite(suite="s", datasets=(Part(kind="dataset", name="tiny", config=Config()),),
                 protocol=Protocol(**{"split": "leave_one_out"} | (protocol or {})), train=Train(**train or {}))


def test_what_fits_is_let_through():
    needy = spec("objective", "needy", needs=Needs(
        tasks={"next_item"}, layouts={"items"}, attention={"softmax"}, training={"next"}, causal=True, time=True,
        domains=True, actions=True, categories={"genre"}, traces={"glow"}, groups=True, features={"year"}))
    glow = spec("modifier", "glow", sites={"mask"}, publishes={"glow"})
    other = spec("objective", "other")
    assert verdict(PLAIN, LOSS, glow, needy, other, spec("combiner", "mix", Balance)) is None
    glowing = spec("backbone", "glowing", publishes={"glow"})
    assert verdict(glowing, LOSS, spec("objective", "reader", needs=Needs(traces={"glow"}))) is None
    assert verdict(MASKED, LOSS, spec("compressor", "small", refuse=lambda config, context: None)) is None
    assert verdict(spec("recommender", "whole", needs=Needs(time=True, domains=True))) is None


@pytest.mark.parametrize(("wanted", "specs", "given"), [
    ("drift + plain: the backbone does not honour the site bias. Expected a backbone that does; "
     "plain honours mask, prefix.", [spec("modifier", "drift", sites={"bias", "mask"})], {}),
    ("plain: it has no objective to learn from. Expected at least one under `objectives`.", [], {"alone": True}),
    ("layout stacked: the data set has no actions to make tokens of. Expected layout: items.", [],
     {"layout": "stacked", "data": data_of(action_names=(), actions=np.zeros((N_EVENTS, 0)))}),
    ("train.supervise: candidates are of the action task alone. Expected all or last.", [],
     {"train": {"supervise": "candidates"}}),
    ("reader + plain: its prefix reads events, so under a causal backbone earlier positions would see later ones. "
     "Expected train.supervise: last.", [spec("modifier", "reader", sites={"prefix"}, reads_events=True)], {}),
    ("greedy: no part publishes the trace glow. Expected a backbone or modifier that does; traces at hand: heat.",
     [spec("objective", "greedy", needs=Needs(traces={"glow", "heat"})),
      spec("modifier", "warm", sites={"mask"}, publishes={"heat"})], {}),
    ("greedy: no part publishes the trace glow. Expected a backbone or modifier that does; traces at hand: none.",
     [spec("objective", "greedy", needs=Needs(traces={"glow"}))], {}),
    ("other: it stands in one configuration twice. Expected each encoder, modifier, objective and explainer once.",
     [spec("objective", "other")], {"twice": [spec("objective", "other")]}),
    ("twin: it stands in one configuration twice. Expected each encoder, modifier, objective and explainer once.",
     [spec("modifier", "twin", sites={"mask"})], {"twice": [spec("modifier", "twin", sites={"mask"})]}),
    ("mix: balance names other.b, whose objective is not in the configuration. Expected objective.term out of loss.",
     [spec("combiner", "mix", Balance)], {}),
    ("mix: balance names loss, an objective without its term. Expected objective.term out of loss.",
     [spec("combiner", "mix", Balance)], {"combiner_config": Balance(balance=("loss", "loss.a"))}),
    ("mix: balance names loss.a twice. Expected two different losses.",
     [spec("combiner", "mix", Balance)], {"combiner_config": Balance(balance=("loss.a", "loss.a"))}),
    ("late + plain: late does not fit layout items. Expected interleaved or stacked.",
     [spec("modifier", "late", sites={"mask"}, needs=Needs(layouts={"stacked", "interleaved"}))], {}),
    ("late + plain: late does not fit the softmax attention of plain. Expected pointwise.",
     [spec("objective", "late", needs=Needs(attention={"pointwise"}))], {}),
    ("late + plain: late does not fit next training of plain. Expected masked.",
     [spec("compressor", "late", needs=Needs(training={"masked"}))], {}),
    ("late + plain: late does not fit a causal backbone. Expected a bidirectional one.",
     [spec("modifier", "late", sites={"mask"}, needs=Needs(causal=False))], {}),
    ("late: it does not fit tasks next_item. Expected action.",
     [spec("objective", "late", needs=Needs(tasks={"action"}))], {}),
    ("late: the data set has no timestamps. Expected a data set that has.",
     [spec("modifier", "late", sites={"mask"}, needs=Needs(time=True))], {"data": data_of(has_time=False)}),
    ("late: the data set has no domains, no categories. Expected a data set that has.",
     [spec("objective", "late", needs=Needs(domains=True, categories=True))],
     {"data": data_of(domain=None, categories={})}),
    ("late: the data set has no item feature colour, no item feature smell. Expected a data set that has; "
     "at hand: year.",
     [spec("objective", "late", needs=Needs(features={"smell", "year", "colour"}))], {}),
    ("late: the data set has no groups of users by age. Expected a data set that has; at hand: none.",
     [spec("objective", "late", needs=Needs(user_groups={"age"}))], {}),
    ("late: the data set has no mark of events shown. Expected a data set that has; at hand: none.",
     [spec("objective", "late", needs=Needs(marks={"shown"}))], {}),
    ("late: the data set has no actions. Expected a data set that has.",
     [spec("modifier", "late", sites={"mask"}, needs=Needs(actions=True))],
     {"data": data_of(action_names=(), actions=np.zeros((N_EVENTS, 0)))}),
    ("late: the data set has no categories colour. Expected a data set that has; at hand: genre.",
     [spec("objective", "late", needs=Needs(categories={"genre", "colour"}))], {}),
    ("late: the data set has no categories genre. Expected a data set that has; at hand: none.",
     [spec("objective", "late", needs=Needs(categories={"genre"}))], {"data": data_of(categories={})}),
    ("protocol.candidates: the data set has no domains. Expected candidates: catalogue.", [],
     {"data": data_of(domain=None), "protocol": {"candidates": "domain"}}),
    ("protocol.tasks: a run has one task. Expected tasks: [next_item] or tasks: [action]; make two suites.", [],
     {"protocol": {"tasks": ["next_item", "action"]}}),
    ("layout.user_token + split user_holdout: nothing is learned of the tokens of users that have no train events, and "
     "those are evaluated. Expected user_token: false, or a split that trains on every user.", [],
     {"protocol": {"split": "user_holdout"}, "layout": LayoutConfig(user_token=True)}),
    ("train.windows: slide[stride=6] leaves out events between windows of 5. Expected a stride of at most 5, or "
     "chunks.", [], {"protocol": {"window": 5}, "train": {"windows": "slide[stride=6]"}}),
])
def test_a_refusal_says_who_why_and_what_instead(wanted, specs, given):
    given = dict(given)
    own = [PLAIN] if given.pop("alone", False) else [PLAIN, LOSS]
    assert verdict(*own, *specs, **given) == wanted


@pytest.mark.parametrize(("wanted", "specs", "given"), [
    ("weigher + pointwise: attention mass is not defined for pointwise attention. "
     "Expected a backbone with softmax attention.",
     [POINTWISE, spec("objective", "weigher", needs=Needs(groups=True))], {}),
    ("late + masked: late does not fit a bidirectional backbone. Expected a causal one.",
     [MASKED, LOSS, spec("modifier", "late", sites={"bias"}, needs=Needs(causal=True))], {}),
    ("narrow + layout interleaved: the backbone does not take it. Expected items or stacked.", [NARROW, LOSS],
     {"layout": "interleaved"}),
    ("drift + narrow: the backbone does not honour the site bias. Expected a backbone that does; narrow honours none.",
     [NARROW, LOSS, spec("modifier", "drift", sites={"bias"})], {}),
    ("small + narrow: the backbone does not honour the site prefix. Expected a backbone that does; narrow honours "
     "none.",
     [NARROW, LOSS, spec("compressor", "small")], {}),
    ("whole: the data set has no timestamps. Expected a data set that has.",
     [spec("recommender", "whole", needs=Needs(time=True))], {"data": data_of(has_time=False)}),
    ("whole: it does not fit tasks next_item. Expected action.",
     [spec("recommender", "whole", needs=Needs(tasks={"action"}))], {}),
    ("whole: the data set has no item vectors image, no item vectors sound. Expected a data set that has; at hand: "
     "none.",
     [spec("recommender", "whole", needs=Needs(vectors=frozenset({"sound", "image"})))], {}),
    ("large: 30 items.",
     [spec("recommender", "large", refuse=lambda config, context: f"large: {context.n_items} items.")], {}),
    ("large: 7 names.", [MASKED, LOSS, spec("modifier", "large", config=Seven, sites={"bias"},
                                            refuse=lambda config, context: f"large: {config.names} names.")], {}),
    ("configuration: it has no backbone. Expected a backbone or a recommender.", [LOSS], {}),
])
def test_a_refusal_of_other_backbones(wanted, specs, given):
    assert verdict(*specs, **given) == wanted


def test_a_reader_of_events_fits_where_no_state_sees_later_ones():
    reader = spec("modifier", "reader", sites={"prefix"}, reads_events=True)
    assert verdict(PLAIN, LOSS, reader, train={"supervise": "last"}) is None
    assert verdict(MASKED, LOSS, reader) is None


def test_a_reader_of_events_needs_attention_to_read_with():
    reader = spec("modifier", "reader", sites={"prefix"}, reads_events=True)
    blind = spec("backbone", "blind", attention="none", sites={"prefix"})
    assert verdict(blind, LOSS, reader, train={"supervise": "last"}) == (
        "reader + blind: its prefix reads events, which takes attention. Expected a backbone with attention.")
    assert verdict(blind, LOSS, spec("modifier", "plain_prefix", sites={"prefix"})) is None


def test_held_out_users_and_windows_that_meet_are_let_through():
    token = LayoutConfig(user_token=True)
    assert verdict(PLAIN, LOSS, layout=token) is None
    assert verdict(PLAIN, LOSS, protocol={"split": "user_holdout"}) is None
    for windows in ("chunks", "slide[stride=5]", "slide[stride=1]"):
        assert verdict(PLAIN, LOSS, protocol={"window": 5}, train={"windows": windows}) is None
    assert verdict(spec("recommender", "whole"), protocol={"window": 5}, train={"windows": "slide[stride=6]"}) is None


def test_what_depends_on_parameters_is_asked_with_them():
    class Sized(Config):
        wide: bool = Field(False, description="needs more")

    drift = spec("modifier", "drift", Sized, sites=lambda config: {"bias"} if config.wide else {"mask"})
    registry = Registry.of([PLAIN, LOSS, drift])

    def fits(wide):
        configuration = Configuration(backbone=part(PLAIN), objectives=(part(LOSS),),
                                      modifiers=(part(drift, Sized(wide=wide)),))
        check(configuration, suite_of(), registry, DATA)

    fits(False)
    with pytest.raises(Refusal, match="site bias"):
        fits(True)


def test_a_missing_gpu_fails_here_before_anything_is_built_and_may_run_elsewhere(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    configuration = Configuration(backbone=part(PLAIN), objectives=(part(LOSS),))
    with pytest.raises(RunError, match=r"train.device: no CUDA device is at hand. Expected one. Use") as error:
        assemble(configuration, suite_of(train={"device": "cuda"}), Registry.of([PLAIN, LOSS]), DATA, 1)
    assert error.value.status == "failed"
