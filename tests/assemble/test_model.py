"""What is built depends on a part's own name and seed alone, and on no global generator."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import Field
from torch import nn

from benchbase.assemble import assemble, build_context
from benchbase.assemble.experiment import choose_device
from benchbase.config import Configuration, Part
from benchbase.errors import PluginError
from benchbase.nn import Combiner, Modifier, Objective
from benchbase.registry import Registry
from benchbase.specs import (
    CombinerConfig,
    CombinerSpec,
    Config,
    LayoutConfig,
    ModifierSpec,
    Needs,
    Negatives,
    ObjectiveSpec,
    RecommenderSpec,
    ScorerConfig,
)
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.train import fit


class Absent(Modifier):
    """Has parameters, and draws from the global generator while it is built, but changes nothing."""

    def __init__(self, context):
        super().__init__()
        self.map = nn.Linear(context.width, context.width)

    def bias(self, ctx, layer):
        return None


class Wider(Modifier):
    def __init__(self, context):
        super().__init__()
        self.readout_width = context.state_width + 3
        self.map = nn.Linear(context.state_width, self.readout_width)

    def readout(self, ctx, h):
        return self.map(h)


class Silent(Objective):
    def __init__(self):
        super().__init__()
        self.own = nn.Parameter(torch.randn(5))


def modifier(name, build, sites):
    return ModifierSpec(name=name, config=Config, build=lambda config, context: build(context), source="here",
                        sites=sites)


absent = modifier("absent", Absent, {"bias"})
wider, wider_too = modifier("wider", Wider, {"readout"}), modifier("wider_too", Wider, {"readout"})
silent = ObjectiveSpec(name="silent", config=Config, build=lambda config, context: Silent(), source="here")
BACKBONES = [(tiny_causal, {"dropout": 0.2}), (tiny_bidirectional, {"dropout": 0.2})]


def start(backbone=tiny_causal, seed=1, **parts: Any):
    made = make_experiment(backbone, seed=seed, **{"objectives": [tiny_softmax]} | parts)
    return {name: value.clone() for name, value in made.model.state_dict().items()}


RICH: dict[str, Any] = {"modifiers": [absent, wider], "objectives": [tiny_softmax, silent], "layout": "interleaved",
        "scorer": ScorerConfig(output="separate", bias=True)}


def test_a_start_depends_on_the_seed_and_on_nothing_global():
    torch.manual_seed(1)
    one = start(**RICH)
    before = torch.get_rng_state()
    again = start(**RICH)
    assert torch.equal(before, torch.get_rng_state()), "building leaves the global generator as it was"
    torch.manual_seed(2)
    elsewhere, other = start(**RICH), start(seed=2, **RICH)
    assert one.keys() == again.keys() == elsewhere.keys()
    assert all(torch.equal(one[name], again[name]) and torch.equal(one[name], elsewhere[name]) for name in one)
    drawn = {name for name in one if not torch.equal(one[name], other[name])}
    assert {name.split(".")[0] for name in drawn} == {
        "embedding", "actions", "backbone", "modifiers", "readout", "scorer", "objectives"}


@pytest.mark.parametrize("backbone", BACKBONES, ids=["next", "masked"])
def test_a_neutral_part_changes_no_other_number(backbone):
    """Neither a start nor, after three epochs with dropout, masks and shuffles, anything that was trained."""
    plain = make_experiment(backbone, objectives=[tiny_softmax], train={"epochs": 3})
    beside = make_experiment(backbone, objectives=[tiny_softmax, silent], modifiers=[absent], train={"epochs": 3})
    for _ in range(2):
        one, other = plain.model.state_dict(), beside.model.state_dict()
        assert one.keys() < other.keys()
        assert all(torch.equal(value, other[name]) for name, value in one.items())
        curves = [fit(each).curve for each in (plain, beside)]
        assert curves[0] == curves[1]


def test_parts_of_one_shape_and_different_names_start_differently():
    too = modifier("absent_too", Absent, {"bias"})
    one = start(modifiers=[absent, too])
    assert not torch.equal(one["modifiers.absent.map.weight"], one["modifiers.absent_too.map.weight"])


@pytest.mark.parametrize("name", ["items", "keys", "pop", "type", "training", "forward", "requires_grad_"])
def test_a_part_may_have_any_plain_name(name):
    """Modules have attributes of these names."""
    mine = modifier(name, Absent, {"bias"})
    loss = ObjectiveSpec(name=name, config=Config, build=lambda config, context: Silent(), source="here")
    made = make_experiment(tiny_causal, objectives=[tiny_softmax, loss], modifiers=[mine])
    assert list(made.model.modifiers) == [name] and list(made.model.objectives) == ["tiny_softmax", name]
    own = dict(made.model.named_parameters())[f"objectives.{name}.own"]
    assert made.model.objectives[name].own is own
    fit(made)
    again = make_experiment(tiny_causal, objectives=[tiny_softmax, loss], modifiers=[mine], seed=2)
    again.model.load_state_dict(made.model.state_dict())
    assert torch.equal(again.model.modifiers[name].map.weight, made.model.modifiers[name].map.weight)


def test_the_order_of_parts_changes_no_start():
    one, other = start(modifiers=[wider, absent]), start(modifiers=[absent, wider])
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_readouts_that_widen_are_told_the_width_they_meet_and_brought_back_to_the_backbones():
    made = make_experiment(tiny_causal, objectives=[tiny_softmax], modifiers=[wider, wider_too])
    shapes = {name: tuple(value.shape) for name, value in made.model.state_dict().items()}
    assert shapes["modifiers.wider.map.weight"] == (11, 8)
    assert shapes["modifiers.wider_too.map.weight"] == (14, 11)
    assert shapes["readout.weight"] == (8, 14)
    fit(made)


def test_tables_are_made_only_for_what_is_there():
    names = set(start())
    assert not any(name.startswith(("actions.", "users.", "readout.", "scorer.")) for name in names)
    assert "actions.hidden" in start(layout="stacked")
    reading = replace(absent, needs=Needs(actions=True))
    assert "actions.hidden" in start(modifiers=[reading])
    assert "embedding.hidden" not in names and "embedding.hidden" in start(tiny_bidirectional)
    assert "users.table" in start(layout=LayoutConfig(user_token=True))


def test_a_build_of_another_class_is_the_plugins_mistake():
    wrong = modifier("wrong", lambda context: nn.Linear(2, 2), {"bias"})
    with pytest.raises(PluginError, match=r"modifier wrong: build returned a Linear. Expected a benchbase.nn.Modifier"):
        make_experiment(tiny_causal, objectives=[tiny_softmax], modifiers=[wrong])


class Mix(CombinerConfig):
    balance: tuple[str, str] = Field(("tiny_softmax.softmax", "silent.x"), description="the two losses")


class Drawn(Combiner):
    def __init__(self):
        super().__init__()
        self.register_buffer("start", torch.randn(4))


def test_a_combiner_comes_with_its_balance_and_a_start_of_its_own():
    spec = CombinerSpec(name="drawn", config=Mix, build=lambda config, context: Drawn(), source="here")
    starts = []
    for seed, modifiers in ((1, []), (1, [absent]), (2, [])):
        made = make_experiment(tiny_causal, objectives=[tiny_softmax, silent], combiner=spec, modifiers=modifiers,
                               seed=seed)
        assert made.balance == ("tiny_softmax.softmax", "silent.x")
        starts.append(made.combiner.start)
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


def test_a_combiner_is_built_as_every_other_part():
    """With the sizes of what stands before it, and with its class looked at."""
    given = []

    def build(config, context):
        given.append(context)
        return Drawn()

    spec = CombinerSpec(name="drawn", config=Mix, build=build, source="here")
    parts = {"objectives": [tiny_softmax, silent], "modifiers": [wider], "layout": "stacked"}
    make_experiment(tiny_causal, combiner=spec, **parts)
    context, = given
    assert (context.width, context.n_layers, context.state_width, context.layout) == (8, 2, 11, "stacked")
    wrong = replace(spec, build=lambda config, context: nn.Linear(2, 2))
    with pytest.raises(PluginError, match=r"combiner drawn: build returned a Linear. Expected a benchbase.nn.Combiner"):
        make_experiment(tiny_causal, combiner=wrong, **parts)


def test_a_feed_is_given_what_objectives_ask_for():
    class Many(Config):
        count: int = Field(3, description="negatives")

    asking = ObjectiveSpec(name="asking", config=Many, build=lambda config, context: Silent(), source="here",
                           needs=lambda config: Needs(negatives=Negatives(count=config.count)))
    made = make_experiment(tiny_causal, objectives=[tiny_softmax, (asking, {"count": 7})])
    assert made.feed.config.negatives == {"asking": Negatives(count=7)}
    assert made.weights == {"tiny_softmax": 1.0, "asking": 1.0}


def test_a_recommender_needs_no_model():
    class Constant:
        def __init__(self, context):
            self.n_items = context.n_items

    spec = RecommenderSpec(name="constant", config=Config, build=lambda config, context: Constant(context),
                           source="here")
    made = make_experiment(tiny_causal, objectives=[tiny_softmax])
    configuration = Configuration(recommender=Part(kind="recommender", name="constant", config=Config()))
    built = assemble(configuration, made.suite, Registry.of([spec]), made.data, 1)
    seeds = [assemble(configuration, made.suite, Registry.of([spec]), made.data, seed).context.seed for seed in (1, 2)]
    assert built.context.seed == seeds[0] != seeds[1] and 0 not in seeds
    assert built.recommender.n_items == 30 and built.model is None and built.feed is None


@pytest.mark.parametrize(("wanted", "present", "device"), [
    ("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cpu", False, "cpu"),
    ("cuda", True, "cuda")])
def test_the_device_is_the_one_asked_for_or_the_best(monkeypatch, wanted, present, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: present)
    assert choose_device(wanted).type == device


def test_the_context_counts_train_events_alone_and_two_tokens_an_event_where_there_are():
    made = make_experiment(tiny_causal, objectives=[tiny_softmax])
    interactions, part = made.data.prepared.interactions, made.data.split.part
    context = build_context(made.configuration, made.suite, made.data)
    counts = [int(((interactions.item == item) & (part == 0)).sum()) for item in range(31)]
    assert context.item_counts.tolist() == counts and context.item_counts[0] == 0
    pairs = made.configuration.model_copy(update={"layout": LayoutConfig(kind="interleaved")})
    assert (context.max_tokens, build_context(pairs, made.suite, made.data).max_tokens) == (8, 16)
    assert replace(context, width=0).n_domains == 2
