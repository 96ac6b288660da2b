"""The recurrent backbone against its equations in a plain loop, and the laws of what it may read."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from benchbase_recurrent import benchbase_backbones
from pydantic import ValidationError
from torch import Tensor

from benchbase import BuildContext, ModifierSpec
from benchbase.data.batches import Batch
from benchbase.errors import Refusal
from benchbase.nn import Modifier, PrefixTokens, SequenceModel
from benchbase.specs import Config
from benchbase.testing.build import make_experiment, make_model, train_step
from benchbase.testing.tiny import tiny_softmax
from benchbase.testing.world import tiny_batch

SPEC = next(iter(benchbase_backbones()))
WIDTH = 8
SHAPES = [{}, {"layers": 2}, {"hidden": 5, "layers": 2}, {"hidden": 8, "input_norm": True}]
LAYOUTS = ("items", "stacked", "interleaved")
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
layouts = pytest.mark.parametrize("layout", LAYOUTS)


class PrefixConfig(Config):
    """Which of three prefix tokens are valid."""

    valid: tuple[bool, ...] = (True, True, True)
    fill: float = 0.0


class ThreeTokens(Modifier):
    """Three fixed tokens before the events; those that are not valid hold `fill` more."""

    def __init__(self, config: PrefixConfig, context: BuildContext):
        super().__init__()
        self.config, self.width = config, context.width

    def prefix(self, ctx: Any) -> PrefixTokens:
        valid = torch.tensor(self.config.valid)
        x = torch.randn(3, self.width, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        x = x + self.config.fill * ~valid[:, None]
        rows = ctx.batch.n_rows
        return PrefixTokens(x.expand(rows, -1, -1), valid=valid.expand(rows, -1))


THREE = ModifierSpec(name="three", config=PrefixConfig, build=ThreeTokens, sites={"prefix"}, source="these tests")


def model(layout: str = "items", prefix: dict[str, Any] | None = None, **parameters: Any) -> SequenceModel:
    modifiers = [] if prefix is None else [(THREE, prefix)]
    made = make_model(SPEC, {"width": WIDTH, **parameters}, objectives=[tiny_softmax], modifiers=modifiers,
                      layout=layout).double()
    draw = torch.Generator().manual_seed(3)
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw, dtype=torch.float64) * 0.5
    return made


def hidden(made: SequenceModel, batch: Batch, phase: Any = "score") -> Tensor:
    after = made.encode(batch, phase).states.after
    assert after is not None
    return after


def step(gru: Any, x: Tensor, h: Tensor) -> Tensor:
    """One step of a GRU, (D) and (H) -> (H), from the equations; the order of the gates is torch's."""
    (w_r, w_z, w_n), (b_r, b_z, b_n) = gru.weight_ih_l0.chunk(3), gru.bias_ih_l0.chunk(3)
    (u_r, u_z, u_n), (c_r, c_z, c_n) = gru.weight_hh_l0.chunk(3), gru.bias_hh_l0.chunk(3)
    reset = 1 / (1 + torch.exp(-(w_r @ x + b_r + u_r @ h + c_r)))
    update = 1 / (1 + torch.exp(-(w_z @ x + b_z + u_z @ h + c_z)))
    new = torch.tanh(w_n @ x + b_n + reset * (u_n @ h + c_n))
    return (1 - update) * new + update * h


def slow(made: SequenceModel, x: Tensor, states: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
    """States (S, D) after each of x (S, D), and where every layer ended, from a loop over tokens and layers."""
    backbone: Any = made.backbone
    units = backbone.layers[0].hidden_size
    states = list(states or [torch.zeros(units, dtype=torch.float64) for _ in backbone.layers])
    found = []
    for token in backbone.input_norm(x):
        h = token
        for layer, gru in enumerate(backbone.layers):
            h = states[layer] = step(gru, h, states[layer])
        found.append(backbone.projection(h))
    return torch.stack(found), states


class TestEqualsItsEquations:
    @shapes
    @layouts
    def test_states_and_gradients(self, shape: dict[str, Any], layout: str) -> None:
        made, (batch, _) = model(layout, dropout_input=0.0, dropout=0.0, **shape), tiny_batch(dtype=torch.float64)
        encoded = made.encode(batch, "train")
        each = encoded.tokens.per_event
        ours, theirs = [], []
        for row in range(batch.n_rows):
            length = int(batch.lengths[row])
            reference, _ = slow(made, encoded.tokens.x[row, : length * each])
            theirs.append(reference[each - 1 :: each])
            assert encoded.states.after is not None
            ours.append(encoded.states.after[row, :length])
        torch.testing.assert_close(torch.cat(ours), torch.cat(theirs))
        direction = torch.randn(torch.cat(ours).shape, dtype=torch.float64)
        parameters = [made.embedding.table, *made.backbone.parameters()]
        for one, other in zip(*(torch.autograd.grad((torch.cat(h) * direction).sum(), parameters, retain_graph=True)
                                for h in (ours, theirs)), strict=True):
            torch.testing.assert_close(one, other)
            assert one.abs().sum() > 0

    def test_the_hidden_width_is_a_width_of_its_own(self) -> None:
        made = model(hidden=5)
        assert made.backbone.layers[0].hidden_size == 5
        assert hidden(made, tiny_batch(dtype=torch.float64)[0]).shape == (4, 7, WIDTH)


class TestPrefixTokens:
    @shapes
    def test_they_are_read_in_order_before_the_events(self, shape: dict[str, Any]) -> None:
        made, (batch, _) = model(prefix={}, **shape), tiny_batch(dtype=torch.float64)
        encoded = made.encode(batch, "score")
        reference, _ = slow(made, encoded.tokens.x[0])
        assert encoded.states.after is not None
        torch.testing.assert_close(encoded.states.after[0], reference[3:])

    @shapes
    @pytest.mark.parametrize("valid", [(False, True, True), (True, False, True), (True, True, False), (False,) * 3])
    def test_one_that_is_not_valid_is_as_if_it_were_not_there(self, valid: tuple[bool, ...],
                                                              shape: dict[str, Any]) -> None:
        made, (batch, _) = model(prefix={"valid": valid}, **shape), tiny_batch(dtype=torch.float64)
        encoded = made.encode(batch, "score")
        kept = [*(at for at, good in enumerate(valid) if good), *range(3, encoded.tokens.x.shape[1])]
        assert encoded.states.after is not None
        for row, length in enumerate(batch.lengths.tolist()):
            reference, _ = slow(made, encoded.tokens.x[row, kept][: sum(valid) + length])
            torch.testing.assert_close(encoded.states.after[row, :length], reference[sum(valid) :])

    def test_its_content_moves_no_state_and_a_valid_ones_does(self) -> None:
        batch, _ = tiny_batch(dtype=torch.float64)
        one, other = (hidden(model(prefix={"valid": (True, False, True), "fill": fill}), batch)[batch.valid]
                      for fill in (0.0, 9.0))
        assert torch.equal(one, other)
        assert not torch.equal(one, hidden(model(prefix={}), batch)[batch.valid])


class TestCandidates:
    """A candidate sees the context and itself only."""

    @shapes
    @layouts
    @pytest.mark.parametrize("prefix", [None, {"valid": (True, False, True)}], ids=["alone", "prefix"])
    def test_each_is_as_if_it_followed_the_context_alone(self, prefix: dict[str, Any] | None, layout: str,
                                                         shape: dict[str, Any]) -> None:
        made = model(layout, prefix, **shape)
        batch, _ = tiny_batch(task="action", candidates=3, dtype=torch.float64)
        encoded = made.encode(batch, "score")
        tokens, seen = encoded.tokens, 0
        for row in range(batch.n_rows):
            mine = batch.candidate[row].nonzero().flatten().tolist()
            context = tokens.valid[row] & ~torch.isin(tokens.event[row], torch.tensor(mine))
            if context.any():
                _, states = slow(made, tokens.x[row, context])
            else:
                states = None
            for event in mine:
                reference, _ = slow(made, tokens.x[row, tokens.event[row] == event], states)
                assert encoded.states.after is not None
                torch.testing.assert_close(encoded.states.after[row, event], reference[-1])
                if encoded.states.before is not None:
                    torch.testing.assert_close(encoded.states.before[row, event], reference[0])
                seen += 1
        assert seen > 6 and (batch.lengths == batch.candidate.sum(1)).any()  # one row is all candidates

    def test_no_candidate_moves_another_or_the_context(self) -> None:
        made, (batch, _) = model(), tiny_batch(task="action", candidates=3, dtype=torch.float64)
        before = hidden(made, batch)
        event = int(batch.lengths[0]) - 2
        items = batch.items.clone()
        items[0, event] = items[0, event] % 30 + 1
        moved = (hidden(made, replace(batch, items=items)) != before).any(-1)
        assert moved.nonzero().tolist() == [[0, event]]


class TestDropout:
    def test_it_acts_in_training_alone_and_follows_its_generator(self) -> None:
        made, (batch, _) = model(layers=2, dropout=0.5), tiny_batch(dtype=torch.float64)
        state = made.generators["backbone"].get_state()
        first = hidden(made, batch, "train")
        made.generators["backbone"].set_state(state)
        torch.rand(7)  # the global generator has no say
        assert torch.equal(first, hidden(made, batch, "train"))
        assert not torch.equal(first, hidden(made, batch, "train"))
        assert torch.equal(hidden(made, batch), hidden(made, batch))

    @pytest.mark.parametrize("name", ["dropout", "dropout_input"])
    def test_each_of_the_two_acts(self, name: str) -> None:
        batch, _ = tiny_batch(dtype=torch.float64)
        with_it, without = (model(**{"dropout": 0.0, "dropout_input": 0.0} | given) for given in ({name: 0.5}, {}))
        assert not torch.equal(hidden(with_it, batch, "train"), hidden(without, batch, "train"))
        assert torch.equal(hidden(with_it, batch), hidden(without, batch, "train"))

    def test_it_is_between_layers_and_never_inside_the_recurrence(self) -> None:
        made, (batch, _) = model(dropout_input=0.0, dropout=0.5), tiny_batch(dtype=torch.float64)
        dropped, plain = hidden(made, batch, "train")[batch.valid], hidden(made, batch)[batch.valid]
        kept = dropped != 0
        assert 0 < kept.sum() < kept.numel()
        torch.testing.assert_close(dropped[kept], 2 * plain[kept])  # what an earlier step lost, later ones still had


class TestSpecs:
    def test_what_it_says_of_itself(self) -> None:
        assert (SPEC.training, SPEC.causal, SPEC.attention) == ("next", True, "none")
        assert SPEC.resolve("sites", SPEC.config()) == {"prefix", "readout", "states"}
        assert SPEC.resolve("sites", SPEC.config(width=8, hidden=8)) == {"prefix", "readout", "states"}
        assert SPEC.resolve("sites", SPEC.config(hidden=8)) == {"prefix", "readout"}

    def test_attention_sites_are_refused(self) -> None:
        mask = ModifierSpec(name="masking", config=Config, build=ThreeTokens, sites={"mask"}, source="these tests")
        with pytest.raises(Refusal, match=r"masking \+ gru4rec: the backbone does not honour the site mask\. Expected "
                                          r"a backbone that does"):
            make_experiment(SPEC, objectives=[tiny_softmax], modifiers=[mask])

    @pytest.mark.parametrize("wrong", [{"width": 0}, {"hidden": 0}, {"dropout": 1.0}, {"dropout_input": -0.1},
                                       {"layers": 0}, {"units": 2}])
    def test_parameters_out_of_bounds_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPEC.config(**wrong)

    def test_describing_loads_no_torch(self) -> None:
        code = "import sys, benchbase_recurrent as p; p.benchbase_backbones(); assert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)


class TestItLearns:
    def test_sequences_that_count_upwards(self) -> None:
        made = make_model(SPEC, {"width": 16, "dropout": 0.1}, objectives=[tiny_softmax])
        items = (torch.arange(30)[:, None] + torch.arange(6)) % 30 + 1
        batch, targets = tiny_batch(30, 6)
        every = torch.ones_like(items)
        row, event = every[:, 1:].nonzero(as_tuple=True)
        batch = replace(batch, items=items, lengths=every.sum(1))
        targets = replace(targets, row=row, event=event + 1, item=items[row, event + 1], weights=torch.ones(len(row)))
        optimiser = torch.optim.Adam(made.parameters(), lr=0.02)
        for _ in range(100):
            loss = train_step(made, batch, targets).losses["tiny_softmax.softmax"]
            optimiser.step()
        assert loss.item() < 0.3  # from log 30
