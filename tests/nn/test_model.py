"""One forward pass: sites meet in order, prefixes stay apart from events, edges do not break it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchbase.errors import PluginError
from benchbase.nn import Boost, Modifier, Plan, PrefixTokens
from benchbase.specs import Config, LayoutConfig, ModifierSpec
from benchbase.testing.build import forward, make_model, train_step
from benchbase.testing.checking import EVENT_COLUMNS, padded, same
from benchbase.testing.probes import probe_popularity, probe_prefix, probe_recent, probe_relation, probe_sparse
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_softmax
from benchbase.testing.world import tiny_batch

BACKBONES = [tiny_causal, tiny_bidirectional, tiny_pointwise]
LAYOUTS = ["items", "stacked", "interleaved"]


def modifier(name="one", publishes=(), reads_events=False, **methods):
    class Made(Modifier):
        def __init__(self, config, context):
            super().__init__()

    for site, method in methods.items():
        setattr(Made, site, method)
    return ModifierSpec(name=name, config=Config, build=Made, source="tests", publishes=frozenset(publishes),
                        sites=frozenset(methods) - {"changes_weights"}, reads_events=reads_events)


def batch_of(spec, **arguments):
    return tiny_batch(masked=spec.training == "masked", dtype=torch.float64, **arguments)


def after(model, batch, phase="score"):
    with torch.no_grad():
        return model.encode(batch, phase).states.after


def ones(ctx):
    return torch.ones(1, 1, *[ctx.tokens.x.shape[1]] * 2, dtype=ctx.tokens.x.dtype)


def triangle(ctx):
    return ones(ctx).tril().bool()


def test_masks_meet_biases_add_boosts_multiply_and_the_rest_compose_in_order():
    batch, _ = batch_of(tiny_causal)
    band = modifier("band", mask=lambda self, ctx, layer: ones(ctx).triu(-2).bool(),
                    bias=lambda self, ctx, layer: ones(ctx).tril(-1),
                    boost=lambda self, ctx, layer: 1 + ones(ctx).tril(-1),
                    value=lambda self, ctx, layer, h: 2 * h, weights=lambda self, ctx, layer, w: w * 2)
    low = modifier("low", mask=lambda self, ctx, layer: ones(ctx).tril(-1).bool(),
                   bias=lambda self, ctx, layer: 2 * ones(ctx).tril(-1),
                   boost=lambda self, ctx, layer: Boost(3 - ones(ctx).tril(-1)),
                   value=lambda self, ctx, layer, h: h + 1, weights=lambda self, ctx, layer, w: w + 0.1 * (w > 0))
    both = modifier("both", mask=lambda self, ctx, layer: ones(ctx).triu(-2).bool() & ones(ctx).tril(-1).bool(),
                    bias=lambda self, ctx, layer: 3 * ones(ctx).tril(-1),
                    boost=lambda self, ctx, layer: (1 + ones(ctx).tril(-1)) * (3 - ones(ctx).tril(-1)),
                    value=lambda self, ctx, layer, h: 2 * h + 1,
                    weights=lambda self, ctx, layer, w: w * 2 + 0.1 * (w > 0))
    two, one = (make_model(tiny_causal, modifiers=m).double() for m in ([band, low], [both]))
    same(after(two, batch), after(one, batch), "two modifiers and their composition")
    swapped = make_model(tiny_causal, modifiers=[low, band]).double()
    assert not torch.allclose(after(swapped, batch), after(two, batch))


@pytest.mark.parametrize(("spec", "methods", "route"), [
    (tiny_causal, {}, "fused"), (tiny_bidirectional, {}, "fused-mask"), (tiny_pointwise, {}, "blockwise"),
    (tiny_causal, {"mask": lambda self, ctx, layer: triangle(ctx)}, "fused-mask"),
    (tiny_causal, {"mask": lambda self, ctx, layer: None}, "fused"),
    (tiny_causal, {"boost": lambda self, ctx, layer: 1 + ones(ctx)}, "fused-mask"),
    (tiny_causal, {"boost": lambda self, ctx, layer: Boost(1 + ones(ctx), False)}, "blockwise"),
    (tiny_causal, {"weights": lambda self, ctx, layer, w: None}, "explicit"),
    (tiny_causal, {"weights": lambda self, ctx, layer, w: w, "changes_weights": lambda self, layer: False}, "fused"),
    (tiny_causal, {"value": lambda self, ctx, layer, h: h + 1}, "fused"),
])
def test_the_route_of_every_layer_is_reported(spec, methods, route):
    batch, _ = batch_of(spec)
    model = make_model(spec, modifiers=[modifier(**methods)] if methods else []).double()
    assert list(model.encode(batch, "score").routes) == [route] * 2


def test_a_part_that_reads_actions_without_saying_so_is_the_plugins_mistake():
    batch, _ = batch_of(tiny_causal)
    reading = modifier(value=lambda self, ctx, layer, h: h + ctx.tokens.action)
    with pytest.raises(PluginError, match=r"does not declare\. Expected needs=Needs\(actions=True\)"):
        after(make_model(tiny_causal, modifiers=[reading]).double(), batch)


def test_only_layers_whose_weights_change_leave_the_kernel():
    batch, _ = batch_of(tiny_causal)
    spec = modifier(weights=lambda self, ctx, layer, w: w, changes_weights=lambda self, layer: layer == 1)
    model = make_model(tiny_causal, {"n_layers": 3}, modifiers=[spec]).double()
    assert list(model.encode(batch, "score").routes) == ["fused", "explicit", "fused"]


def test_a_trace_that_no_spec_declares_is_refused_with_what_is_declared():
    spec = modifier(publishes=["there"], states=lambda self, ctx, layer, h: ctx.publish("elsewhere", h))
    with pytest.raises(PluginError) as error:
        make_model(tiny_causal, modifiers=[spec]).encode(tiny_batch()[0], "train")
    assert str(error.value) == ("one: publishes trace 'elsewhere', which its spec does not declare. "
                                "Expected one of ['there']. Add it to `publishes`.")


def test_a_modifier_knows_which_traces_an_objective_needs():
    asked = []
    watcher = modifier(states=lambda self, ctx, layer, h: asked.append((ctx.wants("relation"), ctx.wants("other"))))
    for objectives, expected in (([tiny_softmax], (False, False)), ([tiny_softmax, probe_sparse], (True, False))):
        asked.clear()
        model = make_model(tiny_causal, modifiers=[watcher, probe_relation], objectives=objectives)
        model.encode(tiny_batch()[0], "score")
        assert asked == [expected] * 2


def test_a_backbone_publishes_what_its_spec_declares():
    def publishes(ctx):
        ctx.publish("trace", ctx.tokens.x)
        return ctx.tokens.x

    told, silent = (make_model(replace(tiny_causal, publishes=frozenset(names))) for names in (["trace"], []))
    told.backbone.forward = silent.backbone.forward = publishes
    batch, targets = tiny_batch()
    step = forward(told, batch, targets)
    assert step.output.traces["trace"] is step.encoded.tokens.x
    with pytest.raises(PluginError, match=r"^backbone: publishes trace 'trace'"):
        silent.encode(batch, "train")


def test_scratch_lives_for_one_pass_and_parts_have_their_own():
    seen = []

    def states(self, ctx, layer, h):
        seen.append((layer, dict(ctx.scratch)))
        ctx.scratch[layer] = self

    model = make_model(tiny_causal, modifiers=[modifier("a", states=states), modifier("b", states=states)])
    for _ in range(2):
        seen.clear()
        model.encode(tiny_batch()[0], "train")
        assert [(layer, list(scratch)) for layer, scratch in seen] == [(0, []), (0, []), (1, [0]), (1, [0])]


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_prefix_and_user_move_the_states_of_events_but_read_none(spec, kind):
    batch, _ = batch_of(spec)
    layout = LayoutConfig(kind=kind, user_token=True)
    model = make_model(spec, modifiers=[probe_prefix], layout=layout).double()
    plain = make_model(spec, layout=kind).double()
    encoded = model.encode(batch, "score")
    assert encoded.tokens.n_prefix == 3 and encoded.states.after.shape == after(plain, batch).shape
    assert encoded.states.after.isfinite().all()
    assert not torch.allclose(after(model, batch), after(plain, batch))
    hidden = []
    model.backbone.register_forward_hook(lambda module, arguments, h: hidden.append(h[:, :3]))
    items = torch.where(batch.items > 0, batch.items % 30 + 1, 0)
    after(model, batch)
    after(model, replace(batch, items=items))
    assert torch.equal(*hidden)
    other = replace(batch, users=(batch.users + 1) % 24)
    after(model, other)
    assert not torch.equal(hidden[0], hidden[2])


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_a_prefix_that_reads_events_reads_them_and_padding_stays_unseen(spec):
    token = torch.arange(8, dtype=torch.float64)[None, None]
    reader = modifier(reads_events=True, prefix=lambda self, ctx: PrefixTokens(token))
    batch, _ = batch_of(spec)
    model = make_model(spec, modifiers=[reader]).double()
    hidden = []
    model.backbone.register_forward_hook(lambda module, arguments, h: hidden.append(h[:, 0]))
    first = after(model, batch)
    items = batch.items.clone()
    last = int((~batch.hide_item[0]).nonzero().max())
    items[0, last] = items[0, last] % 30 + 1
    after(model, replace(batch, items=items))
    assert not torch.equal(hidden[0][0], hidden[1][0]) and torch.equal(hidden[0][1:], hidden[1][1:])
    same(first[batch.valid], after(model, padded(batch, 2))[padded(batch, 2).valid], "a reader and padding")


def plan_of(tokens, each=2):
    tokens = np.asarray(tokens)
    shape = (len(tokens), int(tokens.max()), each)
    items = np.random.default_rng(0).integers(1, 31, shape)
    return Plan(tokens, np.zeros(len(tokens), np.int64), np.zeros(shape[:2], np.int64), {"items": items})


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_history_of_another_length_in_each_row_is_as_if_alone(spec):
    batch, _ = batch_of(spec)
    counts = [2, 0, 1, 0]
    plan = plan_of(counts)
    model = make_model(spec, compressor=probe_recent).double()
    together = after(model, replace(batch, plan=plan))
    plain = after(make_model(spec).double(), batch)
    for row, count in enumerate(counts):
        some = slice(row, row + 1)
        columns = {name: getattr(batch, name)[some] for name in ("users", "lengths", *EVENT_COLUMNS)}
        cut = Plan(plan.tokens[some], plan.displaced[some], plan.latest[some, :count],
                   {"items": plan.arrays["items"][some, :count]})
        alone = after(model, replace(batch, **columns, plan=cut))
        valid = batch.valid[row]
        same(alone[0][valid], together[row][valid], f"row {row} with {count} history tokens")
        if count == 0:
            same(plain[row][valid], together[row][valid], "a row without history beside rows with one")


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_no_history_at_all_is_the_plain_model_bit_for_bit(spec):
    batch, _ = batch_of(spec)
    model, plain = make_model(spec, compressor=probe_recent).double(), make_model(spec).double()
    encoded, other = (m.encode(b, "score") for m, b in ((model, replace(batch, plan=plan_of([0] * 4))), (plain, batch)))
    assert torch.equal(encoded.states.after, other.states.after) and encoded.routes == other.routes


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_masked_states_stand_at_their_events_behind_a_prefix_of_any_length(spec):
    batch, targets = batch_of(spec)
    picked = []
    for tokens in (0, 1, 3):
        model = make_model(spec, modifiers=[(probe_prefix, {"strength": tokens})]).double()
        encoded = model.encode(batch, "score")
        states = encoded.states.predicting_item(targets.row, targets.event)
        events = targets.event if encoded.states.own else targets.event - 1
        assert torch.equal(states, encoded.states.after[targets.row, events])
        picked.append(states)
        batch_alone, _ = batch_of(spec)
        assert torch.equal(batch.items, batch_alone.items)
    assert not torch.equal(picked[0], picked[1])


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
@pytest.mark.parametrize(("rows", "length"), [(1, 1), (3, 1), (1, 5)])
def test_the_smallest_batches_train_and_score(spec, kind, rows, length):
    batch, targets = batch_of(spec, n_rows=rows, length=length)
    model = make_model(spec, modifiers=[probe_prefix], objectives=[tiny_softmax, probe_popularity],
                       layout=LayoutConfig(kind=kind, user_token=True)).double()
    train_step(model, batch, targets)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    output = forward(model, batch, targets, "score").output
    assert output.scorer.scores(output.states).isfinite().all()


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_rows_without_any_event_are_finite_and_disturb_no_other(spec, prefix):
    batch, _ = batch_of(spec)
    lengths = batch.lengths.clone()
    lengths[3] = 0
    empty = ~(torch.arange(7) < lengths[:, None])
    bare = replace(batch, lengths=lengths, items=batch.items.masked_fill(empty, 0),
                   hide_item=batch.hide_item & ~empty, hide_action=batch.hide_action & ~empty)
    model = make_model(spec, modifiers=[probe_prefix] if prefix else []).double()
    states = model.encode(bare, "train").states.after
    assert states.isfinite().all()
    same(states[:3][batch.valid[:3]], after(model, batch)[:3][batch.valid[:3]], "rows beside an empty one")
    states.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_no_event_in_any_row_gives_no_state(spec):
    batch, _ = batch_of(spec, n_rows=2)
    cut = {name: getattr(batch, name)[:, :0] for name in EVENT_COLUMNS}
    bare = replace(batch, lengths=torch.zeros(2, dtype=torch.int64), **cut)
    for modifiers in ([], [probe_prefix]):
        states = make_model(spec, modifiers=modifiers).double().encode(bare, "score").states
        assert states.after.shape == (2, 0, 8)


def test_the_own_base_mask_is_there_for_modifiers_to_read_and_made_once():
    seen = {}

    def mask(self, ctx, layer):
        given = ctx.base_mask
        assert layer == 0 or given is seen[ctx.tokens.x.shape[1]]
        seen[ctx.tokens.x.shape[1]] = given

    batch, _ = batch_of(tiny_causal)
    make_model(tiny_causal, modifiers=[modifier(mask=mask)]).double().encode(batch, "score")
    expected = torch.ones(7, 7).tril().bool() & batch.valid[:, None, :]
    assert torch.equal(seen[7], expected[:, None])
    layout = LayoutConfig(user_token=True)
    make_model(tiny_causal, modifiers=[modifier(mask=mask)], layout=layout).double().encode(batch, "score")
    assert torch.equal(seen[8][:, :, 1:, 1:], expected[:, None]) and not seen[8][:, :, 0, 1:].any()


def test_dropout_on_the_weights_runs_in_training_only_and_says_so():
    batch, _ = batch_of(tiny_causal)
    model = make_model(tiny_causal).double()
    for block in model.backbone.blocks:
        block.attention.forward = attention_with_dropout(block.attention)
    assert list(model.encode(batch, "train").routes) == ["explicit"] * 2
    assert list(model.encode(batch, "score").routes) == ["fused"] * 2
    assert not torch.equal(after(model, batch, "train"), after(model, batch, "train"))


def attention_with_dropout(attention):
    def attend(ctx, layer, h, source):
        q, k, v = (attention._split(x) for x in attention._project(h, source))
        return attention.out(ctx.attend(layer, q, k, v, dropout=0.5).transpose(1, 2).flatten(2))

    return attend


@pytest.mark.parametrize("change", [
    lambda h: torch.cat([h, h], dim=1), lambda h: h[:, :-1], lambda h: h[:1], lambda h: h[..., :-1], lambda h: h[0],
])
def test_states_that_are_not_one_for_each_token_are_refused(change):
    batch, _ = batch_of(tiny_causal)
    wide = modifier(readout=lambda self, ctx, h: change(h))
    with pytest.raises(PluginError, match=r"readout: states have shape \(.*\)\. Expected \(.*\), one for each token"):
        after(make_model(tiny_causal, modifiers=[wide]).double(), batch)
    model = make_model(tiny_causal).double()
    plain = model.backbone.forward
    model.backbone.forward = lambda ctx: change(plain(ctx))
    with pytest.raises(PluginError, match=r"backbone: states have shape \(.*\)\. Expected \(.*\), one for each token"):
        after(model, batch)
