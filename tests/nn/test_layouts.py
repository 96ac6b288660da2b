"""Layouts: which tokens stand for an event, who sees whom, and which hidden is which state."""

from dataclasses import replace

import pytest
import torch

from benchbase.nn import Kind, Modifier, PrefixTokens
from benchbase.nn.layouts import base_mask, causal_base, event_positions, layout_tokens, user_prefix, with_prefixes
from benchbase.specs import Config, LayoutConfig, ModifierSpec, Needs
from benchbase.testing.build import make_model
from benchbase.testing.checking import EVENT_COLUMNS
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise
from benchbase.testing.world import tiny_batch

BACKBONES = [tiny_causal, tiny_bidirectional, tiny_pointwise]
LAYOUTS = ["items", "stacked", "interleaved"]


def encode(model, batch, phase="score"):
    with torch.no_grad():
        return model.encode(batch, phase)


def double(spec, **arguments):
    return make_model(spec, **arguments).double()


def batch_of(spec, **arguments):
    return tiny_batch(masked=spec.training == "masked", dtype=torch.float64, **arguments)


def tokens_of(kind, batch, width=4, position="from_start"):
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(*batch.items.shape, width, generator=generator)
    actions = torch.randn(*batch.items.shape, width, generator=generator)
    config = LayoutConfig(kind=kind, position=position)
    return layout_tokens(config, batch, items, lambda: actions), items, actions


def test_items_layout_has_one_token_an_event():
    batch, _ = tiny_batch()
    tokens, items, actions = tokens_of("items", batch)
    assert tokens.x is items or torch.equal(tokens.x, items)
    assert (tokens.kind == Kind.ITEM).all() and tokens.per_event == 1
    assert torch.equal(tokens.event, torch.arange(7).expand(4, 7))
    for name, source in (("timestamp", "timestamps"), ("query_time", "query_times"), ("domain", "domains"),
                         ("valid", "valid")):
        assert torch.equal(getattr(tokens, name), getattr(batch, source))
    assert torch.equal(tokens.action, actions)


def test_stacked_layout_sums_item_and_action():
    batch, _ = tiny_batch()
    tokens, items, actions = tokens_of("stacked", batch)
    assert torch.equal(tokens.x, items + actions) and (tokens.kind == Kind.JOINT).all()


def test_interleaved_layout_takes_turns_and_shares_the_position():
    batch, _ = tiny_batch()
    tokens, items, actions = tokens_of("interleaved", batch)
    assert torch.equal(tokens.x[:, 0::2], items) and torch.equal(tokens.x[:, 1::2], actions)
    assert tokens.kind[0, :4].tolist() == [Kind.ITEM, Kind.ACTION] * 2 and tokens.per_event == 2
    for name in ("event", "position", "timestamp", "query_time", "domain", "valid"):
        column = getattr(tokens, name)
        assert torch.equal(column[:, 0::2], column[:, 1::2])
    assert torch.equal(tokens.valid[:, 0::2], batch.valid)
    assert torch.equal(tokens.action[:, 0::2], actions) and torch.equal(tokens.action[:, 1::2], actions)


@pytest.mark.parametrize("candidates", [0, 2])
def test_positions_count_from_either_end_and_candidates_share_one(candidates):
    batch, _ = tiny_batch(task="action", candidates=candidates)
    start, end = event_positions(batch, "from_start"), event_positions(batch, "from_end")
    for row, length in enumerate(batch.lengths.tolist()):
        context = max(length - candidates, 0)
        expected = [min(n, context) for n in range(length)]
        assert start[row, :length].tolist() == expected
        assert end[row, :length].tolist() == [max(expected) - n for n in expected]
    assert (start >= 0).all() and (end >= 0).all()


def test_from_end_the_newest_event_is_0_however_long_the_row():
    batch, _ = tiny_batch()
    newest = event_positions(batch, "from_end").gather(1, batch.lengths[:, None] - 1)
    assert (newest == 0).all()


def prefixed(batch, *prefixes, causal=True, kind="items", readers=None):
    tokens, _, _ = tokens_of(kind, batch)
    tokens = with_prefixes(tokens, prefixes)
    mask = base_mask(tokens, batch, causal, readers)
    return tokens, mask


def test_prefix_tokens_stand_first_with_no_event_and_no_position():
    batch, _ = tiny_batch()
    time = torch.arange(8).reshape(4, 2)
    history = PrefixTokens(torch.ones(4, 2, 4), valid=torch.tensor([[True, False]] * 4), timestamp=time, segment=3)
    tokens, _ = prefixed(batch, (user_prefix(torch.zeros(4, 4)), Kind.USER), (history, Kind.HISTORY),
                         (PrefixTokens(torch.ones(1, 1, 4), domain=torch.tensor([[2]])), Kind.PREFIX))
    assert tokens.n_prefix == 4 and tokens.x.shape == (4, 11, 4)
    assert tokens.kind[0, :4].tolist() == [Kind.USER, Kind.HISTORY, Kind.HISTORY, Kind.PREFIX]
    for name, fill in (("event", -1), ("position", -1)):
        assert (getattr(tokens, name)[:, :4] == fill).all()
    assert tokens.domain[0, :4].tolist() == [-1, -1, -1, 2]
    assert tokens.segment[0].tolist() == [1, 3, 3, 1] + [0] * 7
    assert tokens.valid[0, :4].tolist() == [True, True, False, True]
    assert torch.equal(tokens.timestamp[:, 1:3], time) and torch.equal(tokens.query_time[:, 1:3], time)
    assert (tokens.action[:, :4] == 0).all() and tokens.action.shape == tokens.x.shape
    assert tokens.valid.dtype == torch.bool and tokens.event.dtype == torch.int64


def test_events_see_the_prefix_and_the_prefix_sees_itself_the_user_itself_alone():
    batch, _ = tiny_batch(n_rows=1)
    learned = PrefixTokens(torch.ones(1, 2, 4))
    _, mask = prefixed(batch, (user_prefix(torch.zeros(1, 4)), Kind.USER), (learned, Kind.PREFIX))
    seen = mask[0, 0]
    assert seen[0].tolist() == [True] + [False] * 9
    assert (seen[1:3, :3]).all() and not seen[1:3, 3:].any()
    assert seen[3:, :3].all() and torch.equal(seen[3:, 3:], torch.ones(7, 7, dtype=torch.bool).tril())


def test_a_reader_sees_every_event_and_the_full_mask_sees_all():
    batch, _ = tiny_batch(n_rows=1)
    prefix = (PrefixTokens(torch.ones(1, 2, 4)), Kind.PREFIX)
    _, mask = prefixed(batch, prefix, readers=torch.tensor([False, True]))
    assert mask[0, 0, 1].all() and not mask[0, 0, 0, 2:].any()
    _, full = prefixed(batch, prefix, causal=False)
    assert full[0, 0, 2:].all() and not full[0, 0, :2, 2:].any()


def test_invalid_prefix_tokens_and_padding_are_no_keys():
    batch, _ = tiny_batch()
    valid = torch.tensor([[True, False], [False, False], [True, True], [False, True]])
    for causal in (True, False):
        tokens, mask = prefixed(batch, (PrefixTokens(torch.ones(4, 2, 4), valid=valid), Kind.HISTORY), causal=causal)
        keys = mask.expand(4, 1, 9, 9)
        assert not keys[(~tokens.valid)[:, None, None, :].expand_as(keys)].any()
        diagonal = torch.diagonal(keys[:, 0], dim1=1, dim2=2)
        assert torch.equal(diagonal[:, 2:], batch.valid)


def test_plain_causal_needs_no_mask_and_says_the_same_in_full():
    batch, _ = tiny_batch()
    tokens, _, _ = tokens_of("items", batch)
    assert base_mask(tokens, batch, True) is None
    assert torch.equal(causal_base(tokens), (torch.ones(7, 7).tril().bool() & batch.valid[:, None, :])[:, None])
    assert base_mask(tokens, batch, False).shape == (4, 1, 1, 7)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("causal", [True, False])
def test_candidates_are_seen_by_themselves_alone(kind, causal):
    batch, _ = tiny_batch(task="action", candidates=2)
    tokens, _, _ = tokens_of(kind, batch)
    mask = base_mask(tokens, batch, causal).expand(4, 1, *[tokens.x.shape[1]] * 2)[:, 0]
    is_candidate = batch.candidate.gather(1, tokens.event)
    for row in range(4):
        for query in range(tokens.x.shape[1]):
            for key in range(tokens.x.shape[1]):
                expected = tokens.valid[row, key] and (key <= query or not causal)
                if is_candidate[row, key]:
                    expected = expected and tokens.event[row, query] == tokens.event[row, key]
                assert bool(mask[row, query, key]) == bool(expected)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_candidates_scored_together_score_as_one_by_one(spec, kind):
    model = double(spec, layout=kind)
    batch, _ = tiny_batch(task="action", candidates=3, dtype=torch.float64)
    together = encode(model, batch).states
    for state in ("after", "before"):
        for event in (4, 5, 6):  # the candidates of row 0
            kept = [0, 1, 2, 3, event]
            cut = {name: getattr(batch, name)[:1, kept] for name in EVENT_COLUMNS}
            alone = encode(model, replace(batch, users=batch.users[:1], lengths=torch.tensor([5]), **cut)).states
            one, other = getattr(alone, state)[0, 4], getattr(together, state)[0, event]
            torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_a_candidate_moves_no_context_and_no_other_candidate(spec, kind):
    model = double(spec, layout=kind)
    batch, _ = tiny_batch(task="action", candidates=2, dtype=torch.float64)
    items = batch.items.clone()
    items[0, 5] = items[0, 5] % 30 + 1
    first, second = encode(model, batch).states.after, encode(model, replace(batch, items=items)).states.after
    others = [0, 1, 2, 3, 4, 6]
    torch.testing.assert_close(first[0, others], second[0, others], atol=0, rtol=0)
    assert not torch.allclose(first[0, 5], second[0, 5])


@pytest.mark.parametrize("kind", LAYOUTS)
def test_states_before_know_the_item_but_not_its_action(kind):
    """Causal backbones: `before` n reads actions before n alone, `after` n those up to n."""
    model = double(tiny_causal, layout=kind)
    batch, targets = tiny_batch(task="action", candidates=2 if kind == "stacked" else 0, dtype=torch.float64)
    actions = batch.actions.clone().requires_grad_()
    with torch.enable_grad():
        encoded = model.encode(replace(batch, actions=actions), "score")
        states = encoded.states.predicting_action(targets.row, targets.event)
        cotangent = torch.randn(states.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for p, (row, event) in enumerate(zip(targets.row.tolist(), targets.event.tolist(), strict=True)):
            grad, = torch.autograd.grad(states[p] @ cotangent[p], actions, retain_graph=True, allow_unused=True)
            reached = torch.zeros_like(actions) if grad is None else grad
            assert (reached[row, event:] == 0).all()
            if kind != "items" and event > 0 and not batch.candidate[row, :event].any():
                assert (reached[row, :event].abs().sum(-1) > 0).all()
    if kind == "stacked":
        assert encode(model, replace(batch, hide_action=torch.zeros_like(batch.hide_action))).states.before is None
    if kind == "interleaved":
        with torch.enable_grad():
            after = model.encode(replace(batch, actions=actions), "score").states.after[0, 3] @ cotangent[0]
        grad, = torch.autograd.grad(after, actions)
        assert (grad[0, :4].abs().sum(-1) > 0).all() and (grad[0, 4:] == 0).all()


class Twice(Modifier):
    """A readout that says everything twice."""

    def __init__(self, config, context):
        super().__init__()
        self.readout_width = 2 * context.state_width

    def readout(self, ctx, h):
        return torch.cat([h, h], dim=-1)


twice = ModifierSpec(name="twice", config=Config, build=Twice, source="tests", sites={"readout"})


@pytest.mark.parametrize("kind", LAYOUTS)
def test_action_heads_meet_the_readout_as_wide_as_it_is_and_item_scores_the_width_of_the_vectors(kind):
    model, plain = double(tiny_causal, layout=kind, modifiers=[twice]), double(tiny_causal, layout=kind)
    batch, targets = tiny_batch(task="action", candidates=2 if kind == "stacked" else 0, dtype=torch.float64)
    encoded = encode(model, batch)
    width, at = plain.backbone.width, (targets.row, targets.event)
    states = model.output(encoded, batch, targets, "score").states
    narrow = encode(plain, batch).states.predicting_action(*at)
    assert states.shape == (len(targets), 2 * width) and encoded.states.after.shape[-1] == width
    torch.testing.assert_close(states, torch.cat([narrow, narrow], dim=-1))


def test_states_of_a_masked_backbone_stand_at_the_hidden_event_itself():
    model = double(tiny_bidirectional)
    batch, targets = batch_of(tiny_bidirectional)
    encoded = encode(model, batch)
    assert encoded.states.own
    states = encoded.states.predicting_item(targets.row, targets.event)
    assert torch.equal(states, encoded.states.after[targets.row, targets.event])
    causal = encode(double(tiny_causal), batch_of(tiny_causal)[0]).states
    row, event = torch.tensor([0, 0]), torch.tensor([1, 7])
    assert torch.equal(causal.predicting_item(row, event), causal.after[row, torch.tensor([0, 6])])


@pytest.mark.parametrize("kind", ["stacked", "interleaved"])
def test_a_hidden_action_has_a_vector_of_its_own_that_learns(kind):
    model = double(tiny_causal, layout=kind)
    batch, _ = tiny_batch(task="action", candidates=2, dtype=torch.float64)
    tokens = encode(model, batch).tokens
    hidden = batch.hide_action.repeat_interleave(tokens.per_event, 1) & (tokens.kind != Kind.ITEM)
    expected = model.actions.hidden
    if kind == "stacked":
        expected = expected + model.embedding(batch.items[batch.hide_action])
    torch.testing.assert_close(tokens.x[hidden], expected.expand_as(tokens.x[hidden]), atol=0, rtol=0)
    assert (tokens.action[batch.hide_action.repeat_interleave(tokens.per_event, 1)] == 0).all()
    model.encode(batch, "train").states.before[batch.candidate].square().sum().backward()
    reached = model.actions.hidden.grad
    assert reached is not None and (kind == "interleaved" or (reached != 0).any())


@pytest.mark.parametrize("kind", LAYOUTS)
def test_what_a_hidden_or_padded_event_did_is_not_seen(kind):
    model = double(tiny_causal, layout=kind, modifiers=[replace(twice, needs=Needs(actions=True))])
    batch, _ = tiny_batch(task="action", candidates=2, dtype=torch.float64)
    unseen = batch.hide_action | ~batch.valid
    actions = torch.where(unseen[..., None], torch.randn_like(batch.actions), batch.actions)
    first, second = encode(model, batch), encode(model, replace(batch, actions=actions))
    assert torch.equal(first.tokens.x, second.tokens.x) and torch.equal(first.tokens.action, second.tokens.action)
