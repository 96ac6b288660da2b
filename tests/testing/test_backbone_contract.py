"""The contract of backbones catches those that are broken on purpose, each by the rules that it breaks and no other."""

import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import nn

from benchbase.nn import ItemEmbedding
from benchbase.specs import Needs
from benchbase.testing.contracts import BackboneContract, violations
from benchbase.testing.tiny import (
    TinyConfig,
    TinyPointwise,
    TinyRecurrent,
    TinyTransformer,
    tiny_bidirectional,
    tiny_causal,
    tiny_pointwise,
    tiny_recurrent,
)

ITEMS = frozenset({"items"})
CLASSES = {tiny_causal: TinyTransformer, tiny_bidirectional: TinyTransformer, tiny_pointwise: TinyPointwise,
           tiny_recurrent: TinyRecurrent}


def broken(forward=None, base=tiny_causal, init=None, layouts=ITEMS, **spec):
    """A spec whose backbone does `forward(self, ctx, plain)` after `init(self)`; `plain()` gives the sound states."""
    class Broken(CLASSES[base]):
        def __init__(self, config, context):
            super().__init__(config, context)
            if init is not None:
                init(self)

    if forward is not None:
        sound = Broken.forward
        Broken.forward = lambda self, ctx: forward(self, ctx, lambda: sound(self, ctx))
    return replace(base, build=Broken, layouts=layouts, **spec)


def adds(what, **options):
    """A spec whose backbone adds `what(x, ctx)` (B, S, D) to sound states."""
    return broken(lambda self, ctx, plain: plain() + what(ctx.tokens.x, ctx), **options)


def rolled(x):
    """What stands one token later; the last token gets zeros."""
    return torch.cat([x[:, 1:], 0 * x[:, :1]], dim=1)


def row_mean(x, ctx):
    return x.mean(1, keepdim=True)


def wave(times, x, period=1e6):
    return torch.sin(times.to(x.dtype) / period).unsqueeze(-1)


def gradient_of(what):
    """The gradient of `what`, its value hidden."""
    return lambda x, ctx: what(x, ctx) - what(x, ctx).detach()


def mean_of_valid(x, ctx):
    valid = ctx.tokens.valid.unsqueeze(-1)
    return torch.where(valid, x, 0).sum(1, keepdim=True) / valid.sum(1, keepdim=True)


def when_training(x, ctx):
    return rolled(x) if ctx.phase == "train" else 0 * x


def sum_of_padding(x, ctx):
    return torch.where(ctx.tokens.valid.unsqueeze(-1), 0, x).sum(1, keepdim=True)


def mean_so_far(x, ctx):
    """By hand, so that the core's mask has no say."""
    seen = torch.where(ctx.tokens.valid.unsqueeze(-1), x, 0).cumsum(1)
    return seen / torch.arange(1, x.shape[1] + 1)[:, None]


def item_ids(x, ctx):
    odd = (ctx.batch.items % 2).to(x.dtype).repeat_interleave(ctx.tokens.per_event, dim=1).unsqueeze(-1)
    return F.pad(odd, (0, 0, ctx.tokens.n_prefix, 0))


def caller_targets(x, ctx):
    """What the core keeps apart, found in a frame of those that called."""
    frame = sys._getframe()
    while frame is not None:
        if "targets" in frame.f_locals:
            return 0 * x + frame.f_locals["targets"].item.to(x.dtype).mean() / 100
        frame = frame.f_back
    return 0 * x


def batch_norm(self):
    self.batch_norm = nn.BatchNorm1d(self.width)


def with_batch_norm(self, ctx, plain):
    return self.batch_norm(plain().transpose(1, 2)).transpose(1, 2)


def writes_into_the_batch(self, ctx, plain):
    h = plain()
    ctx.batch.timestamps.add_(1)
    return h


def counter_on_self(self):
    self.seen = 0


def counter_buffer(self):
    self.register_buffer("seen", torch.zeros(()))


def fading(self, ctx, plain):
    """States that shrink with the steps trained."""
    self.seen += ctx.phase == "train"
    return plain() * (1 + 1 / (1 + self.seen) if ctx.phase == "train" else 1)


def count_scores(self, ctx, plain):
    self.seen += ctx.phase == "score"
    return plain()


def remembers(self, ctx, plain):
    """A running mean of the states scored, kept in no buffer."""
    h = plain()
    last, self.last = getattr(self, "last", 0), h.detach().abs().mean()
    return h + last


def keeps_its_states(self, ctx, plain):
    self.last = plain()
    return self.last


def own_generator(self):
    self.random = torch.Generator().manual_seed(3)


def own_noise(self, ctx, plain):
    h = plain()
    if ctx.phase == "score":
        return h
    return h * (1 + 0.1 * torch.rand((), generator=self.random, dtype=h.dtype))


def plain_tensor(self):
    self.offset = torch.rand(self.width)


def with_offset(self, ctx, plain):
    return plain() + self.offset.to(ctx.tokens.x.dtype)


class Tally(nn.Module):
    def get_extra_state(self):
        return 3

    def set_extra_state(self, state):
        pass


def extra_state(self):
    self.tally = Tally()


def unused(self):
    self.spare = nn.Linear(3, 3)


def infinite_slope(self, ctx, plain):
    return plain() + (0 * self.positions.table[0]).abs().sqrt()


def positions_by_token(self):
    self.places = ItemEmbedding(12, self.width, hidden=False)


def small_table(self, ctx, plain):
    return plain() + self.places.table[torch.arange(ctx.tokens.x.shape[1])]


def own_attention(self, ctx, plain):
    h = ctx.tokens.x + self.positions(ctx.tokens.position)
    return self.norm(h + F.scaled_dot_product_attention(h, h, h))


def attends_after_all(self, ctx, plain):
    h = plain().unsqueeze(1)
    return (h + ctx.attend(0, h, h, h)).squeeze(1)


def one_layer_twice(self, ctx, plain):
    h = plain()
    return self.blocks[0](ctx, 0, h)


def more_heads(self):
    self.n_heads += 1


def draws_in_vain(self, ctx, plain):
    torch.rand(())
    return plain()


def unlike_kinds(self, ctx, plain):
    """Valid tokens alone, written into a tensor of the tokens' kind: the map gives another under autocast."""
    h, valid = plain(), ctx.tokens.valid
    held = torch.zeros_like(ctx.tokens.x)
    held[valid] = self.blocks[0].attention.out(h)[valid]
    return h + held


VALUE = {"no_look_ahead_by_value"}
GRADIENT = {"no_look_ahead_by_gradient"}
LENGTH = {"no_look_ahead_by_length"}
LOOKS = VALUE | GRADIENT | LENGTH
ACTION = {"no_state_before_an_action_knows_it"}
SIDES = {"both_sides_are_seen_where_not_causal"}
CANDIDATES = {"candidates_see_the_context_and_themselves"}
PADDING = {"padding_changes_nothing"}
WIDTH = {"the_width_of_the_padding_changes_nothing"}
ROWS = {"rows_do_not_see_each_other"}
LABELS = {"labels_move_no_state"}
GIVEN = {"it_changes_nothing_that_it_is_given"}
KEPT = {"nothing_is_kept_between_batches"}
GRAPH = {"no_graph_outlives_its_step"}
REACH = {"gradients_reach_every_parameter"}
FINITE = {"gradients_are_finite_everywhere"}
HEART = {"one_batch_is_learned_by_heart"}
DICT = {"a_state_dict_restores_the_model"}
RESUME = {"a_run_resumes_bit_for_bit"}
SHAPE = {"states_have_a_shape_and_are_finite_everywhere"}
EQUAL = {"equal_seeds_give_equal_states"}
NAMES = {"names_of_items_do_not_matter"}
ATTENTION = {"attention_is_as_declared"}
PRECISION = {"precision_is_that_of_the_model"}
BFLOAT16 = {"it_runs_in_bfloat16"}
SITES = {"sites_honoured_are_the_sites_declared"}
TRACES = {"traces_declared_are_traces_published"}

LEAKS = {
    "the next event": (adds(lambda x, ctx: rolled(x)), LOOKS | CANDIDATES | PADDING),
    "the next event's value alone": (adds(lambda x, ctx: rolled(x).detach()), VALUE | LENGTH | CANDIDATES | PADDING),
    "the next event's gradient alone": (adds(gradient_of(lambda x, ctx: rolled(x))), GRADIENT | CANDIDATES | PADDING),
    "the next event while training": (adds(when_training), LOOKS | CANDIDATES | PADDING),
    "mean of the sequence": (adds(mean_of_valid), LOOKS | CANDIDATES),
    "length of the sequence": (adds(lambda x, ctx: x / ctx.batch.lengths[:, None, None]), LENGTH),
    "mean of the row, padding and all": (adds(row_mean), LOOKS | CANDIDATES | PADDING | WIDTH | ROWS),
    "the same on both sides": (adds(row_mean, base=tiny_bidirectional), CANDIDATES | PADDING | WIDTH | ROWS),
    "the same pointwise": (adds(row_mean, base=tiny_pointwise), LOOKS | CANDIDATES | PADDING | WIDTH | ROWS),
    "time of the next event": (
        adds(lambda x, ctx: wave(rolled(ctx.tokens.timestamp), x)),
        VALUE | LENGTH | CANDIDATES | PADDING),
    "query time of the next event": (
        adds(lambda x, ctx: wave(rolled(ctx.tokens.query_time), x)),
        VALUE | LENGTH | CANDIDATES | PADDING),
    "the action to be predicted": (
        adds(lambda x, ctx: ctx.tokens.action, layouts={"interleaved"}, needs=Needs(actions=True)), ACTION),
    "earlier candidates": (adds(mean_so_far), CANDIDATES),
    "padding by its gradient": (adds(gradient_of(sum_of_padding)), PADDING),
    "width of the padding": (adds(lambda x, ctx: x / x.shape[1]), LENGTH | WIDTH | ROWS),
    "prefix tokens that are not valid": (
        adds(lambda x, ctx: x[:, :1 + ctx.tokens.n_prefix].sum(1, keepdim=True)),
        PADDING),
    "the first row": (adds(lambda x, ctx: x[:1, :1]), ROWS),
    "the first row's gradient": (adds(gradient_of(lambda x, ctx: x[:1, :1])), ROWS),
    "mean of the batch": (adds(lambda x, ctx: -x.mean(0, keepdim=True)), CANDIDATES | PADDING | ROWS),
    "batch norm": (broken(with_batch_norm, init=batch_norm), LOOKS | CANDIDATES | PADDING | WIDTH | ROWS | SHAPE),
    "labels of the caller": (adds(caller_targets), LABELS | NAMES),
    "writes into the batch": (broken(writes_into_the_batch), GIVEN),
    "counts what it scores": (broken(count_scores, init=counter_buffer), GIVEN),
    "remembers the last batch": (broken(remembers), KEPT | EQUAL | RESUME),
    "keeps its states": (broken(keeps_its_states), GRAPH),
}
LEARNING = {
    "a parameter without use": (broken(init=unused), REACH),
    "a slope without end": (broken(infinite_slope), FINITE | HEART | RESUME | KEPT | BFLOAT16),
    "detached": (broken(lambda self, ctx, plain: plain().detach()), GRADIENT | REACH | HEART),
    "constant": (
        broken(lambda self, ctx, plain: plain() * 0 + 1),
        VALUE | GRADIENT | CANDIDATES | REACH | HEART | EQUAL | SITES),
    "steps counted on self": (broken(fading, init=counter_on_self), RESUME | EQUAL),
    "a generator of its own": (broken(own_noise, init=own_generator), RESUME | EQUAL),
    "a plain tensor": (broken(with_offset, init=plain_tensor), DICT),
    "no tensor in state_dict": (broken(init=extra_state), DICT),
}


class AsksWhatWasGiven(TinyConfig):
    @model_validator(mode="after")
    def _nothing_given(self):
        if "dropout" in self.model_fields_set:
            raise ValueError("dropout means nothing here")
        return self


FACTS = {
    "defaults taken for choices": (replace(tiny_causal, config=AsksWhatWasGiven),
                                   {"parameters_written_down_are_the_same_parameters"}),
    "torch's noise": (adds(lambda x, ctx: torch.rand_like(x)), EQUAL | RESUME | KEPT),
    "numpy's noise": (adds(lambda x, ctx: np.random.rand()), EQUAL | RESUME | KEPT),  # noqa: NPY002
    "Python's noise": (adds(lambda x, ctx: random.random()), EQUAL | RESUME | KEPT),
    "torch's generator moved on": (broken(draws_in_vain), EQUAL),
    "noise when scoring": (
        adds(lambda x, ctx: torch.rand((), generator=ctx.generator, dtype=torch.double).to(x)),
        EQUAL),
    "item ids as numbers": (adds(item_ids), NAMES),
    "nothing for single events": (
        broken(lambda self, ctx, plain: plain() / (ctx.tokens.event.max() > 0)),
        SHAPE | ROWS | LENGTH),
    "fewer places than tokens": (broken(small_table, init=positions_by_token), SHAPE | PADDING | WIDTH),
    "attention by hand": (
        broken(own_attention),
        LOOKS | CANDIDATES | PADDING | WIDTH | ROWS | REACH | ATTENTION | SITES),
    "attention against its word": (broken(attends_after_all, base=tiny_recurrent), ATTENTION | SITES),
    "a layer twice": (broken(one_layer_twice), ATTENTION),
    "more heads than run": (broken(init=more_heads), ATTENTION),
    "fewer sites than honoured": (broken(sites={"mask"}), SITES),
    "more sites than honoured": (broken(base=tiny_recurrent, sites=tiny_recurrent.sites | {"value"}), SITES),
    "a trace that is never published": (broken(publishes={"glow"}), TRACES),
    "one side declared as both": (
        broken(lambda self, ctx, plain: ctx.tokens.x + self.positions.table[0], tiny_bidirectional),
        SIDES | ATTENTION | REACH | HEART | SITES),
    "double for any model": (broken(lambda self, ctx, plain: plain().double()), PRECISION | BFLOAT16),
    "times in single precision": (adds(lambda x, ctx: wave(ctx.tokens.timestamp, x, 1e3)), PRECISION),
    "kinds that autocast sets apart": (broken(unlike_kinds), BFLOAT16),
}
BACKBONES = LEAKS | LEARNING | FACTS


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_breaks_these_rules_alone(name):
    spec, expected = BACKBONES[name]
    contract = type("Checked", (BackboneContract,), {"spec": spec, "steps": 60})
    found = violations(contract)
    assert {rule.removeprefix("test_") for rule in found} == expected
    for message in found.values():
        assert ". Expected " in message and message.endswith("."), message


def test_a_parameter_that_is_not_there_is_not_unreached():
    contract = type("Checked", (BackboneContract,), {"spec": tiny_causal, "unreached": {"blocks.7.bias"}})
    found, = violations(contract, ["test_gradients_reach_every_parameter"]).values()
    assert found.startswith("unreached names ['blocks.7.bias'], which the backbone lacks. Expected")


def test_a_masked_backbone_may_be_causal():
    spec = replace(tiny_bidirectional, causal=True)
    assert violations(type("Checked", (BackboneContract,), {"spec": spec})) == {}


def test_every_rule_is_broken_by_some_backbone():
    rules = {name.removeprefix("test_") for name in dir(BackboneContract) if name.startswith("test_")}
    assert set().union(*(expected for _, expected in BACKBONES.values())) == rules
