"""An encoder for each domain against slow loops over rows, domains and heads; nothing crosses but through the tokens,
and what events give to these is a loss.
"""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from benchbase_autocdsr import benchbase_backbones, benchbase_modifiers, benchbase_objectives
from benchbase_autocdsr.config import DomainEncodersConfig

from benchbase.errors import Refusal
from benchbase.nn import Kind, PartContext
from benchbase.testing.build import forward, make_experiment, make_model, train_step
from benchbase.testing.checking import cotangent, distinct, padded, states
from benchbase.testing.contracts import ObjectiveContract
from benchbase.testing.spies import SPIES
from benchbase.testing.tiny import tiny_bidirectional, tiny_softmax
from benchbase.testing.world import World, tiny_batch, tiny_context, tiny_world

(SPEC,) = benchbase_backbones()
(BOTTLENECK,) = benchbase_modifiers()
OFFERED = {spec.name: spec for spec in benchbase_objectives()}
ATTENTION = OFFERED["domain_ib_attention"]
MASS, LOSS = "domain_ib_attention.mass", "tiny_softmax.softmax"
ALONE = {"shared_layers": 0, "projection": False, "dropout": 0.0}


def model_of(n_domains=2, objectives=(), modifiers=(), **config):
    sizes = {"width": 6, "layers": 2, "heads": 2, "tokens": 3, "shared_heads": 3}
    made = make_model(SPEC, sizes | config, context=tiny_context(n_domains=n_domains),
                      modifiers=modifiers, objectives=[*objectives, tiny_softmax]).double()
    draw = torch.Generator().manual_seed(1)
    for name, parameter in made.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "gains" in name or "norm" in name else 0.0, 0.4, generator=draw)
    return made


def batch_of(n_domains=2, n_rows=4, masked=True):
    """Rows of which some lack a domain, events of domains that follow from their items."""
    batch = distinct(tiny_batch(n_rows=n_rows, masked=masked, dtype=torch.float64)[0])
    return replace(batch, domains=torch.where(batch.domains < 0, -1, batch.items % n_domains))


def normed(h, norm):
    return F.layer_norm(h, h.shape[-1:], norm.weight, norm.bias)


def rms(h, gain):
    return h / (h.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt() * gain


def slow_layer(layer, domain, h, seen, scale, keep=1.0, keep_weights=1.0):
    """One domain's layer on h (k + S, D), every query asking the keys (k + S) that are seen; and the weights.

    Dropout leaves `keep` of all, and of the weights `keep_weights`.
    """
    width, heads = h.shape[1], layer.config.heads
    x, outs, weights = rms(h, layer.gains[0, domain].flatten()) @ layer.qkv[domain], [], []
    for head in range(heads):
        at = slice(head * width // heads, (head + 1) * width // heads)
        q, k, v = (x[:, part * width : (part + 1) * width][:, at] for part in range(3))
        weights.append((q @ k.T * scale).masked_fill(~seen, float("-inf")).softmax(dim=-1))
        outs.append(keep_weights * weights[-1] @ v)
    h = h + keep * torch.cat(outs, dim=1) @ layer.out[domain]
    inner = keep * (rms(h, layer.gains[1, domain].flatten()) @ layer.rise[domain]).relu()
    return rms(h + keep * inner @ layer.fall[domain], layer.gains[2, domain].flatten()), torch.stack(weights)


def slow(model, batch, keep=1.0, keep_weights=1.0):
    """What comes before the shared encoder, (B, T, D), and the share that tokens get of each event, (B, T, layers):
    every domain's encoder reads all of a row, as the release has it, and what is not its own is dropped afterwards.
    """
    body, config = model.backbone, model.backbone.config
    k, scale = config.tokens, config.attention_scale or (config.width / config.heads) ** -0.5
    states, shares = torch.zeros(*batch.items.shape, config.width, dtype=torch.float64), []
    for row in range(batch.n_rows):
        domain, valid = batch.domains[row], batch.valid[row]
        x = keep * (model.embedding(batch.items[row], batch.hide_item[row]) + body.positions.table[: len(domain)])
        streams = [torch.cat([body.table, x]) for _ in range(body.n_domains)]
        share = torch.zeros(len(domain), config.layers, dtype=torch.float64)
        for number, layer in enumerate(body.layers):
            for mine in range(body.n_domains):
                seen = torch.cat([torch.ones(k, dtype=torch.bool), valid & ((domain == mine) | (domain < 0))])
                streams[mine], weights = slow_layer(layer, mine, streams[mine], seen, scale, keep, keep_weights)
                share[:, number] += weights.mean(0)[k:, :k].sum(-1) * (domain == mine)
            if config.after is None or number in config.after:
                own = torch.stack([stream[:k] for stream in streams])
                one = own.mean(0) if config.combine == "mean" else own.sum(0)
                streams = [torch.cat([one, stream[k:]]) for stream in streams]
        made = sum(streams[mine][k:] * (valid & ((domain == mine) | (domain < 0)))[:, None]
                   for mine in range(body.n_domains))
        states[row] = normed(x + made, body.first_norm)
        shares.append(share)
    return states, torch.stack(shares)


FORMS = [
    {}, {"combine": "sum"}, {"tokens": 1, "after": (0,)}, {"tokens": 0}, {"layers": 3, "after": ()},
    {"heads": 3, "width": 9, "ffn": 2, "attention_scale": None},
]


@pytest.mark.parametrize("n_domains", [1, 2, 3, 5])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_all_domains_at_once_are_slow_loops_over_them(n_domains, form):
    model, batch = model_of(n_domains, **ALONE | form), batch_of(n_domains)
    valid = batch.valid
    found, (expected, _) = states(model, batch), slow(model, batch)
    torch.testing.assert_close(found[valid], expected[valid], atol=1e-10, rtol=0)
    parameters = dict(model.named_parameters())
    both = [torch.autograd.grad((given[valid] * cotangent(found[valid])).sum(), list(parameters.values()),
                                allow_unused=True) for given in (found, expected)]
    for name, one, other in zip(parameters, *both, strict=True):
        if one is not None or other is not None:
            torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


def test_the_shared_encoder_and_the_last_maps_follow():
    model, batch = model_of(shared_layers=1, dropout=0.0), batch_of(n_rows=1)
    body, (h, _) = model.backbone, slow(model, batch)
    block, (h,) = body.blocks[0], h
    q, k, v = block.attention.qkv(block.norm_attention(h)).view(-1, 3, 3, 2).permute(1, 2, 0, 3)
    h = h + block.attention.out(((q @ k.mT).softmax(-1) @ v).transpose(0, 1).flatten(1))  # not scaled
    h = normed(h + block.forward_map.fall(block.forward_map.rise(block.norm_forward(h)).relu()), body.norm)
    expected = body.projection.fall(body.projection.rise(h).relu())
    torch.testing.assert_close(states(model, batch)[0], expected, atol=1e-10, rtol=0)


def test_dropout_falls_on_tokens_sublayers_and_weights(monkeypatch):
    """Where dropout leaves a share of everything all is known; what events give to the tokens is before it."""
    monkeypatch.setattr(PartContext, "dropout", lambda ctx, x, p: x if ctx.phase == "score" else x * (1 - p))
    model, batch = model_of(objectives=[ATTENTION], **ALONE | {"dropout": 0.3, "attention_dropout": 0.2}), batch_of()
    for phase, keep in (("train", (0.7, 0.8)), ("score", (1.0, 1.0))):
        encoded, (expected, shares) = model.encode(batch, phase), slow(model, batch, *keep)
        torch.testing.assert_close(encoded.states.after[batch.valid], expected[batch.valid], atol=1e-10, rtol=0)
        shown = batch.valid & (batch.domains >= 0)
        torch.testing.assert_close(encoded.traces["ib_attention"][shown], shares[shown], atol=1e-12, rtol=0)


def reached(model, batch):
    """How far each event's state (row 0) depends on each event's item, (T, T)."""
    found = states(model, batch)[0]
    depends = torch.zeros(len(found), len(found), dtype=found.dtype)
    for event, state in enumerate(found):
        direction = (state * cotangent(state)).sum()
        (gradient,) = torch.autograd.grad(direction, model.embedding.table, retain_graph=True)
        depends[event] = gradient[(batch.items[0] - 1).clamp_min(0)].abs().amax(dim=-1) * (batch.items[0] > 0)
    return depends


@pytest.mark.parametrize(("form", "heard"), [
    ({"after": ()}, False), ({"tokens": 0}, False), ({"layers": 1}, False), ({"after": (1,)}, False),
    ({}, True), ({"after": (0,)}, True), ({"after": (), "shared_layers": 1}, True),
], ids=str)
def test_items_of_other_domains_are_reached_through_the_tokens_alone(form, heard):
    """Tokens must read first, become one, and be read; or the shared encoder sees all."""
    batch = batch_of(n_rows=1)
    depends, domain = reached(model_of(**ALONE | form), batch), batch.domains[0]
    shown = domain >= 0
    other = shown[:, None] & shown & (domain[:, None] != domain)
    assert other.any()
    assert (depends[other] > 0).all() if heard else (depends[other] == 0).all()
    own = shown[:, None] & shown & ~other
    hidden = ~shown[:, None] & shown
    assert (depends[own] > 0).all() and (depends[hidden] > 0).all()  # hidden events hear all domains


def test_an_item_of_no_domain_is_read_by_all():
    batch = batch_of(n_rows=1)
    shown = (~batch.hide_item[0]).nonzero().flatten()
    batch.domains[0, shown[0]] = -1
    depends = reached(model_of(**ALONE | {"after": ()}), batch)
    assert len(set(batch.domains[0, shown[1:]].tolist())) == 2 and (depends[:, shown[0]] > 0).all()
    assert (depends[shown[0], shown] > 0).all()


def test_a_row_without_a_domain_hears_of_it_through_its_tokens_alone():
    """Its encoder then reads hidden events and tokens; all is finite, also where no event is hidden."""
    model = model_of(3, **ALONE)
    for masked in (True, False):
        batch = batch_of(masked=masked)
        batch = replace(batch, domains=torch.where(batch.domains < 0, -1, 2))
        found = states(model, batch)
        torch.testing.assert_close(found[batch.valid], slow(model, batch)[0][batch.valid], atol=1e-10, rtol=0)
        (gradient,) = torch.autograd.grad(found[batch.valid].square().sum(), model.backbone.layers[0].qkv)
        assert gradient.isfinite().all() and (gradient[0] != 0).any()


def test_padding_and_the_names_of_domains_tell_nothing():
    model, batch = model_of(3, shared_layers=1), batch_of(3)
    plain = states(model, batch)[batch.valid]
    wide = padded(batch, 3)
    torch.testing.assert_close(states(model, wide)[wide.valid], plain, atol=1e-10, rtol=0)
    turned = replace(batch, domains=torch.where(batch.domains < 0, -1, (batch.domains + 1) % 3))
    with torch.no_grad():
        for layer in model.backbone.layers:
            for parameter in layer.parameters():
                along = 1 if parameter is layer.gains else 0
                parameter.copy_(parameter.roll(1, dims=along))
    torch.testing.assert_close(states(model, turned)[turned.valid], plain, atol=1e-10, rtol=0)


def test_the_tokens_are_no_items():
    """Nothing can rank or draw them: scores have a column for each item, tokens of a batch are its events."""
    model, (batch, targets) = model_of(), tiny_batch(masked=True, dtype=torch.float64)
    step = forward(model, batch, targets)
    assert (step.encoded.tokens.kind == Kind.ITEM).all() and step.encoded.tokens.x.shape[:2] == batch.items.shape
    assert model.embedding.items().shape == (30, 6) and model.backbone.table.shape == (3, 6)
    assert step.output.scorer.scores(step.output.states).shape == (len(targets), 30)


@pytest.mark.parametrize(("given", "message"), [
    ({"heads": 3}, "heads: 3 does not divide the width 64. Expected a divisor of the width. Nearest: 2."),
    ({"shared_heads": 5}, "shared_heads: 5 does not divide the width 64. Expected a divisor of the width. Nearest: 4."),
    ({"after": (0, 3)}, "after: there is no layer 3. Expected layers below 3, counted from 0. Nearest: 2."),
])
def test_sizes_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=f"Value error, {message}"):
        DomainEncodersConfig(**given)


def test_what_it_cannot_honour_is_refused():
    with pytest.raises(Refusal, match=r"the backbone does not honour the site bias\. Expected a backbone that does; "
                                      r"domain_encoders honours prefix, readout\."):
        make_experiment((SPEC, {"shared_layers": 0}), objectives=[tiny_softmax], modifiers=[SPIES["bias"]])
    world = tiny_world()
    without = World(world.interactions, replace(world.catalogue, domain=None, domain_names=()))
    with pytest.raises(Refusal, match=r"domain_encoders: the data set has no domains\. Expected a data set that has"):
        make_experiment(SPEC, objectives=[tiny_softmax], world=without)


@pytest.mark.parametrize("n_domains", [1, 3])
@pytest.mark.parametrize("layers", ["mean", "sum", "last"])
def test_what_events_give_to_the_tokens_is_the_loss(n_domains, layers):
    """Padded, hidden and foreign events ask for nothing, although the slow loops let them attend."""
    model = model_of(n_domains, [(ATTENTION, {"layers": layers})], **ALONE)
    batch, (_, targets) = batch_of(n_domains), tiny_batch(masked=True, dtype=torch.float64)
    shares = slow(model, batch)[1][batch.valid & (batch.domains >= 0)].mean(0)
    expected = {"mean": shares.mean(), "sum": shares.sum(), "last": shares[-1]}[layers]
    found = forward(model, batch, targets).losses[MASS]
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    parameters = [model.backbone.table, model.backbone.layers[0].qkv, model.embedding.table]
    both = [torch.autograd.grad(mass, parameters) for mass in (found, expected)]
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
    wide = padded(batch, 4)
    torch.testing.assert_close(forward(model, wide, targets).losses[MASS], expected, atol=1e-12, rtol=0)


def test_even_attention_by_hand():
    """Each event looks at k tokens, the events of its domain and the hidden ones, at all alike."""
    model = model_of(3, [ATTENTION], **ALONE)
    batch, (_, targets) = batch_of(3, n_rows=1), tiny_batch(n_rows=1, masked=True, dtype=torch.float64)
    with torch.no_grad():
        for layer in model.backbone.layers:
            layer.qkv.zero_()
    domains = batch.domains[0].tolist()
    shares = [3 / (3 + domains.count(domain) + domains.count(-1)) for domain in domains if domain >= 0]
    assert forward(model, batch, targets).losses[MASS].item() == pytest.approx(sum(shares) / len(shares))


def test_tokens_before_the_events_ask_for_nothing():
    """Although they have a domain."""
    model = model_of(objectives=[ATTENTION], modifiers=[BOTTLENECK], shared_layers=1)
    batch, (_, targets) = batch_of(), tiny_batch(masked=True, dtype=torch.float64)
    step = forward(model, batch, targets, "score")
    tokens, trace = step.encoded.tokens, step.encoded.traces["ib_attention"]
    before = tokens.valid & (tokens.event < 0) & (tokens.domain >= 0)
    assert before.any() and (trace[before] > 0).any()
    shown = batch.valid & (batch.domains >= 0)
    torch.testing.assert_close(step.losses[MASS], trace[:, tokens.n_prefix :][shown].mean(), atol=1e-12, rtol=0)


def test_it_is_measured_where_it_is_asked_for():
    batch = batch_of()
    assert model_of().encode(batch, "score").traces == {}
    assert model_of(objectives=[ATTENTION]).encode(batch, "score").traces["ib_attention"].shape == (4, 7, 2)


def test_the_forward_pass_is_the_same_with_the_loss():
    batch = batch_of()
    torch.testing.assert_close(states(model_of(objectives=[ATTENTION]), batch), states(model_of(), batch),
                               atol=1e-12, rtol=0)


@pytest.mark.parametrize("backbone", [(SPEC, {"tokens": 0}), tiny_bidirectional])
def test_the_loss_is_refused_where_there_are_no_tokens(backbone):
    with pytest.raises(Refusal, match=r"domain_ib_attention: no part publishes the trace ib_attention\. Expected a "
                                      r"backbone or modifier that does; traces at hand: none\."):
        make_experiment(backbone, objectives=[tiny_softmax, ATTENTION])


def test_pareto_balances_it_and_leaves_the_shared_encoder_to_the_main_loss():
    model, (batch, targets) = model_of(objectives=[ATTENTION], shared_layers=1, dropout=0.0), tiny_batch(
        masked=True, dtype=torch.float64)
    combiner = OFFERED["pareto"].build(OFFERED["pareto"].config(balance=(LOSS, MASS)), tiny_context())
    losses = forward(model, batch, targets).losses
    plain = {name: torch.autograd.grad(losses[name], list(model.parameters()), allow_unused=True, retain_graph=True)
             for name in (LOSS, MASS)}
    weights = train_step(model, batch, targets, combiner, (LOSS, MASS)).weights
    assert weights[LOSS] == 1 and 0 < abs(weights[MASS]) < 10
    for (name, parameter), main, other in zip(model.named_parameters(), plain[LOSS], plain[MASS], strict=True):
        if name.startswith("backbone.blocks"):
            assert other is None
        expected = main if other is None else main + weights[MASS] * other
        torch.testing.assert_close(parameter.grad, expected, atol=1e-12, rtol=1e-9)


class Still(DomainEncodersConfig):
    """Small, without dropout: losses can be compared."""

    width: int = 8
    dropout: float = 0.0


class TestDomainBottleneckAttention(ObjectiveContract):
    spec = ATTENTION
    config: ClassVar = {"layers": "sum"}

    def backbones(self):
        return [replace(SPEC, config=Still)]
