"""The backbone against its equations written out, and the laws of what a domain's own encoder sees."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benchbase_c2dsr import SITES, TRACES, benchbase_backbones, benchbase_objectives
from benchbase_c2dsr.blocks import filled, own_block
from pydantic import ValidationError

from benchbase import Refusal
from benchbase.data.sequences import Events
from benchbase.testing.build import forward, make_experiment, make_model, train_step
from benchbase.testing.checking import padded, randomised
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import World, tiny_batch, tiny_context, tiny_world

torch.set_num_threads(1)
(SPEC,) = benchbase_backbones()
SOFTMAX, INFOMAX = benchbase_objectives()
WIDTH, ITEMS, WINDOW = 4, 30, 12
both = pytest.mark.parametrize("domains", [2, 3])


def train_part():
    """Rows of items, oldest first."""
    draw = np.random.default_rng(3)
    lengths = np.array([9, 1, 0, 14, 12])
    item = draw.integers(1, ITEMS + 1, lengths.sum()).astype(np.int32)
    return Events(np.append(0, lengths.cumsum()), item, np.zeros(len(item), np.int64), np.zeros((len(item), 0)))


def context(domains=2, domain=None, **changes):
    """Items in turn of so many domains, or each of its own in `domain` (ITEMS + 1,)."""
    plain = tiny_context(ITEMS, WINDOW)
    domain = np.append(-1, np.arange(ITEMS) % domains) if domain is None else domain
    catalogue = replace(plain.catalogue, domain=domain.astype(np.int16), domain_names=tuple("abcdef"[:domains]))
    facts = {"catalogue": catalogue, "n_domains": domains, "train": train_part} | changes
    return replace(plain, **facts)


def model(facts=None, objectives=(), seed=0, scorer=None, **config):
    """A model in double precision whose parameters are large enough for every path to count."""
    sizes = {"width": WIDTH, "dropout": 0.0, "graph_layers": 0} | config
    made = make_model(SPEC, sizes, objectives=[*objectives, tiny_softmax], context=facts or context(),
                      scorer=scorer).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.copy_(torch.where(parameter == 0, 0, 0.5 * noise) if parameter.dim() == 2 else 0.5 * noise)
    return made


def batch(facts=None, **arguments):
    """A batch whose events have their items' domains."""
    given, targets = tiny_batch(dtype=torch.float64, **arguments)
    domain = torch.from_numpy((facts or context()).catalogue.domain.astype(np.int64))
    return replace(given, domains=domain[given.items]), targets


def slow_encoder(encoder, x):
    """Vectors (n, w) of a whole sequence -> its states, one query, head and key at a time."""
    h = encoder.scale * x + encoder.positions.table[: len(x)]
    for block in encoder.blocks:
        normed = F.layer_norm(h, h.shape[-1:], block.norm_attention.weight, block.norm_attention.bias)
        q, k, v = (normed @ block.attention.qkv.weight.T + block.attention.qkv.bias).split(h.shape[1], dim=1)
        heads, rows = block.attention.n_heads, []
        each = h.shape[1] // heads
        for i in range(len(h)):
            parts = []
            for head in range(heads):
                own = slice(head * each, (head + 1) * each)
                scores = torch.stack([(q[i, own] * k[j, own]).sum() / each**0.5 for j in range(i + 1)])
                parts.append((scores.softmax(0)[:, None] * v[: i + 1, own]).sum(0))
            rows.append(torch.cat(parts))
        h = h + block.attention.out(torch.stack(rows))
        normed = F.layer_norm(h, h.shape[-1:], block.norm_forward.weight, block.norm_forward.bias)
        h = h + block.forward_map.fall(block.forward_map.rise(normed).relu())
    return F.layer_norm(h, h.shape[-1:], encoder.norm.weight, encoder.norm.bias)


def dense(events, domain=None):
    """The shares of successors (ITEMS, ITEMS), counted pair by pair."""
    counts = torch.zeros(ITEMS, ITEMS, dtype=torch.float64)
    for row in range(events.n_rows):
        items = events.item[events.offsets[row] : events.offsets[row + 1]].tolist()
        groups = [items] if domain is None else [[i for i in items if domain[i] == d] for d in range(domain.max() + 1)]
        for group in groups:
            for one, other in pairwise(group):
                counts[one - 1, other - 1] += 1
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


def spread(vectors, shares, layers):
    steps = [vectors]
    for _ in range(layers):
        steps.append(shares @ steps[-1])
    return torch.stack(steps).mean(0)


def slow_states(made, facts, given, row, layers=0):
    """The states (n, domains w) of one row, and apart from them the mixed ones (n, w)."""
    body, domain = made.backbone, facts.catalogue.domain
    items = given.items[row, : given.lengths[row]].tolist()
    table = made.embedding.table
    vectors = torch.stack([table[i, WIDTH * domain[i + 1] :][:WIDTH] if domain[i + 1] >= 0
                           else table[i].view(-1, WIDTH).sum(0) for i in range(ITEMS)])
    read = [vectors, vectors]
    if layers:
        events = facts.train()
        read = [vectors + spread(vectors, dense(events, by), layers) for by in (None, domain)]
    mixed = slow_encoder(body.mixed, torch.stack([read[0][i - 1] for i in items]))
    blocks = []
    for d, encoder in enumerate(body.own):
        places = [n for n, i in enumerate(items) if domain[i] == d]
        states = slow_encoder(encoder, torch.stack([read[1][items[n] - 1] for n in places])) if places else None
        last = [sum(p <= n for p in places) - 1 for n in range(len(items))]
        carried = [torch.zeros(WIDTH, dtype=torch.float64) if states is None or at < 0 else states[at] for at in last]
        blocks.append(mixed + torch.stack(carried))
    return torch.cat(blocks, dim=1), mixed


@both
@pytest.mark.parametrize("config", [{}, {"heads": 2, "layers": 1}, {"graph_layers": 1}, {"graph_layers": 2}])
def test_it_equals_the_equations_written_out_gradients_too(domains, config):
    facts = context(domains)
    made, (given, _) = model(facts, **config), batch(facts, n_rows=3)
    layers = config.get("graph_layers", 0)
    ours = made.encode(given, "score").states.after[given.valid]
    slow = torch.cat([slow_states(made, facts, given, row, layers)[0] for row in range(3)])
    torch.testing.assert_close(ours, slow, atol=1e-6 if layers else 1e-10, rtol=0)  # shares are single precision
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    parameters = [made.embedding.table, *made.backbone.parameters()]
    for one, other in zip(*(torch.autograd.grad(x, parameters, direction) for x in (ours, slow)), strict=True):
        assert (one != 0).any()
        torch.testing.assert_close(one, other, atol=1e-5 if layers else 1e-9, rtol=0)


class TestScores:
    @both
    def test_an_item_is_scored_by_both_states_of_its_own_domain(self, domains):
        facts = context(domains)
        made, (given, targets) = model(facts, [SOFTMAX]), batch(facts, n_rows=4)
        output = forward(made, given, targets, "score").output
        scores = output.scorer.scores(output.states)
        states = [slow_states(made, facts, given, row)[0] for row in range(4)]
        for at, (row, event) in enumerate(zip(targets.row.tolist(), targets.event.tolist(), strict=True)):
            for item in range(1, ITEMS + 1):
                own = slice(WIDTH * facts.catalogue.domain[item], WIDTH * (facts.catalogue.domain[item] + 1))
                expected = states[row][event - 1, own] @ made.embedding.table[item - 1, own]
                torch.testing.assert_close(scores[at, item - 1], expected, atol=1e-9, rtol=0)

    def test_the_blocks_of_other_domains_are_empty_and_stay_so(self):
        facts = context()
        made = make_model(SPEC, {"width": WIDTH}, objectives=[SOFTMAX, INFOMAX], context=facts)
        table, (given, targets) = made.embedding.table, tiny_batch()
        own = filled(torch.from_numpy(facts.catalogue.domain[1:].astype(np.int64)), 2, WIDTH)
        start = table.detach().clone()
        optimizer = torch.optim.AdamW(made.parameters(), lr=0.01)
        for _ in range(3):
            train_step(made, given, targets)
            optimizer.step()
        assert (start != 0).equal(own)
        assert (table != 0).equal(own)
        assert not torch.equal(start, table)

    def test_without_the_objective_every_block_is_learned(self):
        made = make_model(SPEC, {"width": WIDTH}, objectives=[tiny_softmax], context=context())
        assert (made.embedding.table != 0).all()
        train_step(made, *tiny_batch())
        assert (made.embedding.table.grad != 0).all()


class TestWhatADomainSees:
    def test_others_events_move_the_mixed_states_alone(self):
        made, (given, _) = model(objectives=[INFOMAX]), batch(n_rows=1, length=9)
        others = given.domains == 1
        moved = replace(given, items=torch.where(others, (given.items + 1) % ITEMS + 1, given.items))
        assert torch.equal(given.domains, batch_domains(moved))
        one, other = (made.encode(each, "train").traces for each in (given, moved))
        assert torch.equal(one["own_states"][~others], other["own_states"][~others])
        assert not torch.equal(one["own_states"][others], other["own_states"][others])
        assert not torch.equal(one["mixed_states"][~others], other["mixed_states"][~others])

    def test_rows_of_one_domain_have_the_mixed_state_for_the_other(self):
        made, (given, targets) = model(objectives=[SOFTMAX, INFOMAX]), batch(n_rows=2)
        items = torch.where(given.valid, 2 * (given.items % 10) + 1, 0)  # of domain 0
        alone = replace(given, items=items, domains=torch.where(given.valid, 0, -1))
        encoded = made.encode(alone, "train")
        mixed, states = encoded.traces["mixed_states"], encoded.states.after
        assert torch.equal(states[..., WIDTH:][alone.valid], mixed[alone.valid])
        assert not torch.equal(states[..., :WIDTH], mixed)
        made.zero_grad()
        losses = train_step(made, alone, targets).losses
        assert losses["cross_domain_infomax.bce"] == 0
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in made.parameters())

    def test_the_own_state_is_carried_to_later_events_of_others(self):
        made, facts = model(), context()
        given, _ = batch(n_rows=1, length=6)
        items = torch.tensor([[1, 3, 2, 4, 5, 6]])  # domains 0 0 1 1 0 1
        given = replace(given, items=items, lengths=torch.tensor([6]), domains=(items - 1) % 2)
        states, mixed = slow_states(made, facts, given, 0)
        own = states.view(6, 2, WIDTH) - mixed[:, None]
        for n in (2, 3):
            torch.testing.assert_close(own[n, 0], own[1, 0])
        torch.testing.assert_close(made.encode(given, "score").states.after[0], states, atol=1e-10, rtol=0)

    @both
    def test_names_of_domains_do_not_matter(self, domains):
        facts = context(domains)
        turned = replace(facts, catalogue=replace(
            facts.catalogue, domain=np.append(-1, (facts.catalogue.domain[1:] + 1) % domains)))
        one, other = (model(each, [SOFTMAX], seed=2) for each in (facts, turned))
        (given, targets), (renamed, _) = batch(facts), batch(turned)
        state = one.state_dict()
        moved = {name: state[_turned(name, domains)] for name in state}
        moved["embedding.table"] = state["embedding.table"].view(ITEMS, domains, WIDTH).roll(1, 1).flatten(1)
        other.load_state_dict(moved)
        first, second = forward(one, given, targets), forward(other, renamed, targets)
        torch.testing.assert_close(first.output.scorer.scores(first.output.states),
                                   second.output.scorer.scores(second.output.states), atol=1e-9, rtol=0)
        for name, loss in first.losses.items():
            torch.testing.assert_close(loss, second.losses[name], atol=1e-9, rtol=0)

    def test_items_of_no_domain_are_read_by_the_mixed_encoder_and_meet_every_state(self):
        domain = np.append(-1, np.arange(ITEMS) % 2)
        domain[5::4] = -1
        facts = context(domain=domain)
        made, (given, targets) = model(facts, [SOFTMAX, INFOMAX]), batch(facts, n_rows=4)
        assert (given.domains[given.valid] < 0).any()
        assert (made.embedding.table[4] != 0).all()
        ours = made.encode(given, "score").states.after[given.valid]
        slow = torch.cat([slow_states(made, facts, given, row)[0] for row in range(4)])
        torch.testing.assert_close(ours, slow, atol=1e-10, rtol=0)
        for item in (4, 5):
            losses = train_step(made, given, replace(targets, item=torch.full_like(targets.item, item))).losses
            assert all(torch.isfinite(loss) for loss in losses.values())


class TestGraph:
    @pytest.mark.parametrize("phase", ["train", "score"])
    def test_later_events_move_no_earlier_state(self, phase):
        made, (given, _) = model(graph_layers=1, dropout=0.3), batch(n_rows=3)
        for event in range(6):
            later = (torch.arange(7) > event) & given.valid
            states = []
            for each in (given, randomised(given, later)):
                made.generators["backbone"].manual_seed(1)
                states.append(made.train(phase == "train").encode(each, phase).states.after)
            torch.testing.assert_close(states[0][:, : event + 1], states[1][:, : event + 1], atol=1e-12, rtol=0)
            assert not torch.equal(*states)

    def test_padding_moves_nothing(self):
        made, (given, _) = model(graph_layers=1), batch(n_rows=3)
        wide = padded(given, 3)
        torch.testing.assert_close(made.encode(given, "score").states.after[given.valid],
                                   made.encode(wide, "score").states.after[wide.valid], atol=1e-12, rtol=0)

    def test_by_hand(self):
        from benchbase_c2dsr.graph import Graph, transitions

        events = Events(np.array([0, 4, 6]), np.array([1, 2, 1, 3, 1, 2]), np.zeros(6, np.int64), np.zeros((6, 0)))
        edges, shares = transitions(events, 3)
        assert edges.tolist() == [[0, 0, 1], [1, 2, 0]]
        assert shares.tolist() == [2 / 3, 1 / 3, 1.0]
        own, alike = transitions(events, 3, np.array([-1, 0, 1, 0]))  # 1 1 3 and 1; 2 and 2
        assert own.tolist() == [[0, 0], [0, 2]]
        assert alike.tolist() == [0.5, 0.5]
        vectors = torch.eye(3)
        expected = torch.tensor([[1, 2 / 3, 1 / 3], [1, 1, 0], [0, 0, 1]]) / 2
        torch.testing.assert_close(Graph(edges, shares, 3, 1)(vectors, lambda x: x), expected)

    def test_nothing_follows_in_an_empty_train_part_or_in_items_without_domain(self):
        from benchbase_c2dsr.graph import transitions

        none = Events(np.array([0, 0]), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros((0, 0)))
        for domain in (None, np.array([-1, 0, 1, 0])):
            edges, shares = transitions(none, 3, domain)
            assert edges.shape == (2, 0) and shares.shape == (0,)
        assert transitions(train_part(), ITEMS, np.full(ITEMS + 1, -1))[0].shape == (2, 0)

    def test_it_is_made_in_single_precision_under_bfloat16(self):
        made = make_model(SPEC, {"width": WIDTH, "graph_layers": 1}, objectives=[SOFTMAX, INFOMAX], context=context())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = forward(made, *tiny_batch()).losses
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)

    def test_it_learns_nothing_itself_and_stands_in_no_checkpoint(self):
        assert list(model(graph_layers=2).state_dict()) == list(model().state_dict())


class TestCorrupted:
    def read(self, made, given):
        made.generators["backbone"].manual_seed(5)
        return made.encode(given, "train").traces

    @both
    def test_only_what_comes_after_an_item_of_the_domain_moves(self, domains):
        facts = context(domains)
        made, (given, _) = model(facts, [INFOMAX]), batch(facts, n_rows=4)
        traces = self.read(made, given)
        mixed, corrupted = traces["mixed_states"], traces["corrupted_states"]
        assert corrupted.shape == (domains, *mixed.shape)
        for d in range(domains):
            reached = ((given.domains == d).cumsum(1) > 0) & given.valid
            free = given.valid & ~reached
            torch.testing.assert_close(corrupted[d][free], mixed[free], atol=1e-12, rtol=0)
            assert not torch.allclose(corrupted[d][reached], mixed[reached])

    @both
    def test_items_become_others_of_their_domain_all_alike(self, domains):
        facts = context(domains)
        made, (given, _) = model(facts, [INFOMAX]), batch(facts, n_rows=4)
        seen = []

        class Asked:
            batch, generator = given, torch.Generator().manual_seed(0)

        for _ in range(200):
            drawn = made.backbone._others(Asked())
            assert torch.equal(torch.where(given.valid, (drawn - 1) % domains, -1), given.domains)
            seen.append(drawn[given.valid])
        counts = torch.bincount(torch.cat(seen), minlength=ITEMS + 1)[1:]
        for d in range(domains):
            share = counts[d::domains] / counts[d::domains].sum()
            assert (share - domains / ITEMS).abs().max() < 0.05

    def test_it_is_the_mixed_encoder_over_the_items_drawn(self):
        facts = context()
        made, (given, _) = model(facts, [INFOMAX], graph_layers=1), batch(facts, n_rows=3)
        corrupted = self.read(made, given)["corrupted_states"]

        class Asked:
            batch, generator = given, torch.Generator().manual_seed(5)

        drawn = made.backbone._others(Asked())
        for d in range(2):
            items = torch.where(given.domains == d, drawn, given.items)
            again = made.encode(replace(given, items=items), "train").traces["mixed_states"]
            torch.testing.assert_close(corrupted[d][given.valid], again[given.valid], atol=1e-6, rtol=0)

    def test_padding_moves_no_draw(self):
        made, (given, _) = model(objectives=[INFOMAX]), batch(n_rows=3)
        wide = padded(given, 3)
        narrow, found = self.read(made, given), self.read(made, wide)
        for name in TRACES:
            one, other = narrow[name][..., given.valid, :], found[name][..., wide.valid, :]
            torch.testing.assert_close(one, other, atol=1e-12, rtol=0)

    def test_scoring_draws_nothing_and_makes_none(self):
        made, (given, _) = model(objectives=[INFOMAX]), batch()
        before = made.generators["backbone"].get_state()
        assert set(made.encode(given, "score").traces) == {"mixed_states", "own_states"}
        assert torch.equal(before, made.generators["backbone"].get_state())

    def test_nobody_wants_it_nothing_is_made(self):
        made, (given, _) = model(), batch()
        assert not made.encode(given, "train").traces
        assert set(model(objectives=[SOFTMAX]).encode(given, "train").traces) == {"mixed_states"}


def batch_domains(given):
    return torch.where(given.valid, (given.items - 1) % 2, -1)


def _turned(name, domains):
    """The parameter that another becomes when each domain takes the next one's name."""
    parts = name.split(".")
    if parts[:2] == ["backbone", "own"]:
        parts[2] = str((int(parts[2]) - 1) % domains)
    return ".".join(parts)


class TestSpec:
    def domainless(self, names):
        world = tiny_world()
        n = world.catalogue.n_items
        domain = np.append(-1, np.zeros(n)).astype(np.int16) if names else None
        return World(world.interactions, replace(world.catalogue, domain=domain, domain_names=names))

    def test_data_without_two_domains_is_refused(self):
        for names, message in (((), "c2dsr: the data set has no domains. Expected a data set that has."),
                               (("a",), "c2dsr: domains in the data set: 1. Expected 2 or more. Use sasrec.")):
            with pytest.raises(Refusal) as error:
                make_experiment(SPEC, objectives=[tiny_softmax], world=self.domainless(names))
            assert str(error.value) == message

    @pytest.mark.parametrize("objective", [SOFTMAX, INFOMAX], ids=lambda spec: spec.name)
    def test_other_backbones_lack_what_the_objectives_read(self, objective):
        with pytest.raises(Refusal, match=rf"^{objective.name}: no \w+ publishes the trace \w+_states\. Expected"):
            make_experiment(tiny_causal, objectives=[objective])

    def test_it_builds_for_a_run(self):
        made = make_experiment((SPEC, {"width": WIDTH}), objectives=[tiny_softmax]).model
        assert made.embedding.table.shape == (30, 2 * WIDTH)
        assert SPEC.sites == SITES

    def test_heads_must_divide_the_width(self):
        with pytest.raises(ValidationError, match=r"heads: 6 does not divide the width 64\. Expected a divisor of the "
                                                  r"width\. Nearest: 4\."):
            SPEC.config(heads=6)

    @pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": 1.0}, {"layers": 0}, {"graph_layers": -1}, {"ffn": 1}])
    def test_parameters_out_of_bounds_are_refused(self, wrong):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPEC.config(**wrong)

    def test_describing_loads_no_torch(self):
        code = ("import sys, benchbase_c2dsr as p; p.benchbase_backbones(); p.benchbase_objectives(); "
                "assert 'torch' not in sys.modules")
        subprocess.run([sys.executable, "-c", code], check=True)


def test_the_block_of_a_domain():
    x = torch.arange(12.0).view(2, 6)
    assert own_block(x, torch.tensor([2, -1]), 3).tolist() == [[4.0, 5.0], [24.0, 27.0]]
    assert filled(torch.tensor([1, -1]), 2, 2).tolist() == [[False, False, True, True], [True] * 4]
