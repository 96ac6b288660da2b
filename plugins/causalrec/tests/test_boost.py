"""The booster in whole models: the identity at 0, the direction of an edge, the filter, prefixes, and no look-ahead."""

from dataclasses import replace

import pytest
import torch
from benchbase_causalrec import benchbase_modifiers, benchbase_objectives
from benchbase_causalrec.boost import CausalBoost
from benchbase_causalrec.config import CausalBoostConfig

from benchbase.errors import ConfigError
from benchbase.nn import Modifier
from benchbase.specs import LayoutConfig, ModifierSpec
from benchbase.testing.build import make_model, train_step
from benchbase.testing.checking import states
from benchbase.testing.probes import probe_prefix
from benchbase.testing.tiny import (
    tiny_bidirectional,
    tiny_causal,
    tiny_pointwise,
    tiny_softmax,
)
from benchbase.testing.world import tiny_batch, tiny_context

boost, = benchbase_modifiers()
dag, = benchbase_objectives()
SOURCES = pytest.mark.parametrize("source", ["cov", "sem", "bilinear"])
BACKBONES = pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional, tiny_pointwise],
                                    ids=lambda spec: spec.name)


def batch_for(backbone, **arguments):
    return tiny_batch(masked=backbone.training == "masked", dtype=torch.float64, **arguments)


def model_of(backbone=tiny_causal, modifiers=(), objectives=(), layers=3, **arguments):
    return make_model(backbone, {"n_layers": layers, "dropout": 0.1}, modifiers=list(modifiers),
                      objectives=[tiny_softmax, *objectives], **arguments).double()


@SOURCES
@BACKBONES
def test_at_0_outputs_and_gradients_are_the_plain_backbones_bit_for_bit(source, backbone):
    batch, targets = batch_for(backbone)
    plain = model_of(backbone)
    off = model_of(backbone, [(boost, {"alpha": 0.0, "r_source": source})],
                   [(dag, {"sparsity": 0.0, "rho": 0.0, "beta": 0.0})])
    for phase in ("score", "train"):
        assert torch.equal(states(plain, batch, phase), states(off, batch, phase))
    losses = [train_step(model, batch, targets).losses for model in (plain, off)]
    assert torch.equal(*(found["tiny_softmax.softmax"] for found in losses)) and len(losses[1]) == 1
    theirs = dict(off.named_parameters())
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter.grad, theirs[name].grad), name
    assert {name for name in theirs if theirs[name].grad is None} == {
        name for name in theirs if name.endswith(".matrix")}


class Planted(CausalBoost):
    """The booster of a given relation."""

    edges: torch.Tensor

    def _discover(self, h, ctx):
        return self.edges.to(h)[None].expand(len(h), -1, -1)


class Watcher(Modifier):
    """Notes the weights after all others changed them."""

    def weights(self, ctx, layer, w):
        self.__dict__.setdefault("seen", {})[layer] = w.detach()
        return w


watcher = ModifierSpec(name="watcher", config=boost.config.__base__, build=lambda config, context: Watcher(),
                       sites=frozenset({"weights"}), source="tests")


def planted(edges, **parameters):
    """A spec whose relation is given."""
    def build(config, context):
        made = Planted(config, context)
        made.edges = edges
        return made

    config = CausalBoostConfig(**parameters)
    return replace(boost, build=build), config


def weights_under(edges, layer=1, backbone=tiny_causal, batch=None, layout="items", before=(), **parameters):
    spec, config = planted(edges, **parameters)
    found = []
    for modifiers in ([*before, watcher], [*before, (spec, config), watcher]):
        model = model_of(backbone, modifiers, layers=2, layout=layout)
        states(model, batch)
        found.append(model.modifiers["watcher"].seen[layer])
    return found


def test_an_edge_from_cause_to_effect_changes_where_the_effect_attends_to_the_cause_and_nothing_else():
    batch, _ = batch_for(tiny_causal, n_rows=1)
    size = batch.items.shape[1]
    edges = torch.zeros(size, size)
    cause, effect = 1, 3
    edges[effect, cause] = 2.0
    plain, boosted = weights_under(edges, batch=batch, alpha=0.5)
    expected = plain.clone()
    expected[0, :, effect, cause] *= 2  # 1 + 0.5 x 2
    torch.testing.assert_close(boosted, expected)
    plain, back = weights_under(edges.T, batch=batch, alpha=0.5)
    torch.testing.assert_close(back, plain)  # the future attends to nobody


@pytest.mark.parametrize("layer", [0, 1])
def test_plain_layers_stay_plain_and_one_relation_serves_all_heads_and_layers_behind(layer):
    batch, _ = batch_for(tiny_causal)
    size = batch.items.shape[1]
    edges = torch.rand(size, size, generator=torch.Generator().manual_seed(0))
    plain, boosted = weights_under(edges, layer=layer, batch=batch)
    if layer == 0:
        assert torch.equal(plain, boosted)
    else:
        assert (boosted.sum(-1) > plain.sum(-1) + 0.01).any()


@pytest.mark.parametrize(("sign", "factor"), [("abs", 3.0), ("relu", 1.0), ("square", 5.0), ("signed", -1.0)])
def test_signs(sign, factor):
    batch, _ = batch_for(tiny_causal, n_rows=1)
    size = batch.items.shape[1]
    edges = torch.zeros(size, size)
    edges[2, 0] = -2.0
    plain, boosted = weights_under(edges, batch=batch, sign=sign)
    expected = plain.clone()
    expected[0, :, 2, 0] *= factor
    torch.testing.assert_close(boosted, expected)


def test_renormalised_rows_sum_to_1_and_are_in_proportion():
    batch, _ = batch_for(tiny_causal)
    size = batch.items.shape[1]
    edges = torch.rand(size, size, generator=torch.Generator().manual_seed(0))
    plain, boosted = weights_under(edges, batch=batch, renormalise=True, alpha=4.0)
    expected = plain * (1 + 4 * edges)
    expected = expected / expected.sum(-1, keepdim=True)
    shown = batch.valid[:, None, :, None].expand_as(expected)
    torch.testing.assert_close(boosted[shown], expected[shown])


@pytest.mark.parametrize("alpha", [1e-8, 1e8])
def test_the_whole_range_of_alpha_is_finite_in_single_precision(alpha):
    batch, targets = tiny_batch()
    for renormalise in (False, True):
        model = make_model(tiny_causal, modifiers=[(boost, {"alpha": alpha, "renormalise": renormalise})],
                           objectives=[tiny_softmax, dag])
        step = train_step(model, batch, targets)
        assert all(torch.isfinite(loss) for loss in step.losses.values())
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("renormalise", [True, False])
def test_the_filter_keeps_strong_relations_oneself_and_rows_without_any(renormalise):
    batch, _ = batch_for(tiny_causal, n_rows=1)
    size = batch.items.shape[1]
    assert size > 4
    edges = torch.zeros(size, size)
    edges[3, 0], edges[3, 1], edges[3, 2] = 1.0, 0.5, 0.2
    edges[3, 4] = 100.0  # a later event: it sets no scale
    plain, kept = weights_under(edges, batch=batch, variant="filter", threshold=0.3, renormalise=renormalise)
    alive = torch.ones(size, size)
    alive[3, 2] = 0
    expected = plain * alive
    if renormalise:
        expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(kept, expected)
    assert (kept.sum(-1) > 0).all()


@pytest.mark.parametrize("variant", ["enhance", "filter"])
def test_tokens_of_no_event_are_left_out_and_both_tokens_of_an_event_share_its_row(variant):
    batch, _ = batch_for(tiny_causal, n_rows=1)
    size = batch.items.shape[1]
    edges = torch.zeros(size, size)
    edges[3, 1] = 1.0
    layout = LayoutConfig(kind="interleaved", user_token=True)
    before = [(probe_prefix, {"strength": 2})]
    plain, changed = weights_under(edges, batch=batch, layout=layout, before=before, variant=variant, renormalise=False)
    first = 3  # a user token and two prefix tokens
    effect, cause = slice(first + 6, first + 8), slice(first + 2, first + 4)
    expected = plain.clone()
    if variant == "enhance":
        expected[0, :, effect, cause] *= 2
    else:
        expected[0, :, effect, first : first + 6] = 0
        expected[0, :, effect, cause] = plain[0, :, effect, cause]
    torch.testing.assert_close(changed, expected)


@SOURCES
def test_no_look_ahead_by_value_on_every_layout(source):
    for layout in ("items", "stacked", "interleaved"):
        batch, _ = batch_for(tiny_causal)
        model = model_of(modifiers=[(boost, {"r_source": source, "max_nodes": 4})], layout=layout)
        before = states(model, batch)
        items = batch.items.clone()
        items[:, 3:] = items[:, 3:] % 29 + 1
        after = states(model, replace(batch, items=items * batch.valid))
        torch.testing.assert_close(after[:, :3], before[:, :3], atol=1e-12, rtol=0)
        assert (after[:, 3:] - before[:, 3:]).abs().max() > 1e-6


@SOURCES
def test_candidates_see_each_other_in_no_relation(source):
    batch, _ = batch_for(tiny_causal, n_rows=1)
    candidate = torch.zeros_like(batch.valid)
    candidate[:, -3:] = True
    batch = replace(batch, candidate=candidate)
    model = model_of(modifiers=[(boost, {"r_source": source})])
    before = model.encode(batch, "score").states.after
    for changed in (-3, -1):
        items = batch.items.clone()
        items[:, changed] = items[:, changed] % 29 + 1
        after = model.encode(replace(batch, items=items), "score").states.after
        others = [event for event in (-3, -2, -1) if event != changed]
        torch.testing.assert_close(after[:, others], before[:, others], atol=1e-12, rtol=0)


@SOURCES
def test_penalties_are_of_the_events_that_are_no_candidates(source):
    batch, _ = batch_for(tiny_causal, n_rows=1)
    last = torch.arange(batch.items.shape[1])[None] >= batch.lengths[:, None] - 3
    model = make_model(tiny_causal, {"n_layers": 2}, modifiers=[(boost, {"r_source": source})],
                       objectives=[tiny_softmax, dag]).double()
    offered, shorter = replace(batch, candidate=last & batch.valid), replace(batch, lengths=batch.lengths - 3)
    first, second = (model.encode(each, "train").traces for each in (offered, shorter))
    for name in ("acyclicity", "sparsity"):
        torch.testing.assert_close(first[name], second[name])
    assert (second["sparsity"] > 0).all()


@SOURCES
@pytest.mark.parametrize("length", [200, 1_000])
def test_collinear_inputs_have_a_finite_loss(source, length):
    """One item over and over, and positions that say nothing: all hiddens are equal."""
    batch, targets = tiny_batch(n_rows=2)
    items = torch.full((2, length), 5)
    wide = {name: torch.zeros(2, length, dtype=torch.int64) for name in ("timestamps", "query_times", "domains")}
    flags = {name: torch.zeros(2, length, dtype=torch.bool) for name in ("hide_item", "hide_action", "candidate")}
    batch = replace(batch, items=items, lengths=torch.full((2,), length), **wide, **flags,
                    actions=torch.zeros(2, length, batch.actions.shape[2]),
                    features=torch.zeros(2, length, batch.features.shape[2]))
    context = replace(tiny_context(), window=length, max_tokens=length)
    model = make_model(tiny_causal, {"n_layers": 2}, modifiers=[(boost, {"r_source": source})],
                       objectives=[tiny_softmax, dag], context=context)
    torch.nn.init.zeros_(model.backbone.positions.table)
    keep = targets.row < 2
    chosen = {name: getattr(targets, name)[keep] for name in ("row", "event", "item", "actions", "weights")}
    step = train_step(model, batch, replace(targets, **chosen, log_q=None, negatives=None, log_q_negatives=None))
    assert all(torch.isfinite(loss) for loss in step.losses.values())
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_what_nobody_reads_is_not_made():
    batch, _ = batch_for(tiny_causal)
    assert set(model_of(modifiers=[boost]).encode(batch, "train").traces) == {"relation"}
    read = model_of(modifiers=[boost], objectives=[dag])
    assert set(read.encode(batch, "train").traces) == {"relation", "acyclicity", "sparsity"}
    assert set(read.encode(batch, "score").traces) == {"relation"}


def test_detached_no_gradient_reaches_the_relation_through_attention():
    batch, targets = batch_for(tiny_causal)
    for detach in (True, False):
        model = model_of(modifiers=[(boost, {"r_source": "bilinear", "detach": detach})])
        train_step(model, batch, targets)
        grad = model.modifiers["causal_boost"].matrix.grad
        assert (grad is None) == detach


def test_no_layer_behind_is_refused():
    with pytest.raises(ConfigError, match=r"causal_boost: after is 2, of 2 layers\. Expected a layer behind it to "
                                          r"change\. Take more layers, or after=1\."):
        model_of(modifiers=[(boost, {"after": 2})], layers=2)


def test_routes():
    """The boost has a kernel of its own, the filter folds into the mask; only what needs all weights takes them."""
    batch, _ = batch_for(tiny_causal)
    expected = {"blockwise": [{}, {"renormalise": True}], "fused-mask": [{"variant": "filter"}],
                "explicit": [{"sign": "signed"}, {"variant": "filter", "renormalise": False}]}
    for route, settings in expected.items():
        for parameters in settings:
            routes = model_of(modifiers=[(boost, parameters)]).encode(batch, "train").routes
            assert list(routes) == ["fused", route, route], parameters
