"""HSTU against its equations written out, and the laws of what its biases see."""

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from benchbase_hstu import SITES, benchbase_backbones
from benchbase_hstu.bias import BUCKETS, RelativeBias, _look_up, buckets, cells
from pydantic import ValidationError
from torch import Tensor, nn

from benchbase import Refusal
from benchbase.data.batches import Batch
from benchbase.nn import PartContext, SequenceModel, attend, softmax_loss
from benchbase.specs import BackboneSpec, LayoutConfig, ScorerConfig
from benchbase.testing.build import make_experiment, make_model
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import World, tiny_batch, tiny_context, tiny_world

torch.set_num_threads(1)
(SPEC,) = benchbase_backbones()
DAY = 86_400
WINDOW = 12
VARIANTS: dict[str, dict[str, Any]] = {
    "next": {}, "self": {"time_ref": "self"}, "none": {"time_ref": "none"}, "concat": {"concat": True},
    "length": {"normaliser": "length"}, "widths": {"d_qk": 3, "d_v": 5, "heads": 3},
}
each_variant = pytest.mark.parametrize("variant", list(VARIANTS))


def model(spec: BackboneSpec = SPEC, layout: Any = "items", scorer: ScorerConfig | None = None, per_event: int = 1,
          **parameters: Any) -> SequenceModel:
    """A model in double precision whose parameters are large enough for every path to count."""
    context = tiny_context(window=WINDOW, max_tokens=per_event * WINDOW)
    config = {"width": 8} | parameters
    made = make_model(spec, config, objectives=[tiny_softmax], layout=layout, scorer=scorer, context=context).double()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return made


def batch(**arguments: Any) -> Batch:
    return tiny_batch(dtype=torch.float64, **arguments)[0]


def after(made: SequenceModel, given: Batch, phase: Any = "score") -> Tensor:
    states = made.encode(given, phase).states.after
    assert states is not None
    return states


class Slow:
    """One row, one query, one key and one head at a time, from the equations; items, no prefix."""

    def __init__(self, made: SequenceModel, given: Batch):
        self.model, self.body, self.given = made, made.backbone, given

    def states(self, row: int) -> Tensor:
        length, width = int(self.given.lengths[row]), self.body.width
        vectors = self.model.embedding.table[self.given.items[row, :length] - 1]
        h = list(math.sqrt(width) * vectors + self.body.positions.table[:length])
        for block in self.body.blocks:
            h = self.block(block, row, h)
        return torch.stack(h)

    def block(self, block: Any, row: int, h: list[Tensor]) -> list[Tensor]:
        parts = [silu(norm(x) @ block.uvqk.weight.T) for x in h]
        heads, wide, narrow = block.n_heads, block.v_width, block.qk_width
        out = []
        for i, x in enumerate(h):
            sums = [torch.zeros(wide // heads, dtype=torch.float64) for _ in range(heads)]
            for head in range(heads):
                q = piece(parts[i], 2 * wide, narrow, heads, head)
                for j in range(i + 1):
                    k = piece(parts[j], 2 * wide + narrow, narrow, heads, head)
                    v = piece(parts[j], wide, wide, heads, head)
                    score = (q * k).sum() + self.bias(block.bias, row, i, j)
                    sums[head] = sums[head] + silu(score) / (i + 1 if self.body.full else WINDOW) * v
            u, a = parts[i][:wide], norm(torch.cat(sums))
            mixed = torch.cat([u, a, u * a]) if block.concat else u * a
            out.append(x + mixed @ block.out.weight.T + block.out.bias)
        return out

    def bias(self, tables: RelativeBias, row: int, i: int, j: int) -> Tensor:
        total = tables.positions[WINDOW - 1 + j - i]
        if tables.gaps is None:
            return total
        times, asked = self.given.timestamps[row], self.given.query_times[row]
        now = int((asked if self.body.time_ref == "next" else times)[i])
        return total + tables.gaps[bucket(now - int(times[j]))]


def bucket(seconds: int) -> int:
    return min(math.floor(math.log(max(abs(seconds), 1)) / 0.301), 128)


def piece(x: Tensor, start: int, width: int, heads: int, head: int) -> Tensor:
    each = width // heads
    return x[start + head * each : start + (head + 1) * each]


def silu(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def norm(x: Tensor) -> Tensor:
    return (x - x.mean()) / (x.var(unbiased=False) + 1e-6).sqrt()


@each_variant
def test_it_equals_the_equations_written_out_gradients_too(variant: str) -> None:
    made, given = model(**VARIANTS[variant]), batch(n_rows=3, length=5)
    slow = Slow(made, given)
    reference = torch.cat([slow.states(row) for row in range(3)])
    ours = after(made, given)[given.valid]
    torch.testing.assert_close(ours, reference, atol=1e-9, rtol=0)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    parameters = [made.embedding.table, *made.backbone.parameters()]
    for one, other in zip(*(torch.autograd.grad(x, parameters, direction) for x in (ours, reference)), strict=True):
        assert (one != 0).any()
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("seconds", "expected"), [
    (0, 0), (1, 0), (60, 13), (3_600, 27), (DAY, 37), (30 * DAY, 49), (365 * DAY, 57), (-60, 13), (2**62, 128),
])
def test_the_bucket_of_a_gap(seconds: int, expected: int) -> None:
    zero = torch.zeros(1, 1, dtype=torch.int64)
    assert buckets(zero + seconds, zero).item() == expected
    assert bucket(seconds) == expected or seconds == 2**62


def test_buckets_of_large_times_are_of_the_exact_gap_in_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    given = batch(n_rows=5, length=9)
    expected = [[[bucket(a - b) for b in row.tolist()] for a in asked.tolist()]
                for row, asked in zip(given.timestamps, given.query_times, strict=True)]
    for size in (1, 200, 2**16):
        monkeypatch.setattr("benchbase_hstu.bias.CELLS", size)
        assert buckets(given.query_times, given.timestamps).tolist() == expected


class TestWhatTimesMove:
    def moved(self, event: int, layout: str = "items", state: str = "after", **parameters: Any) -> list[bool]:
        """Which states move when one event happens much later, seen from the event before it too."""
        made = model(layout=layout, per_event=2 if layout == "interleaved" else 1, **parameters)
        given = batch(n_rows=1, length=6)
        times, asked = given.timestamps.clone(), given.query_times.clone()
        times[0, event] += 300 * DAY
        asked[0, event - 1] += 300 * DAY
        later = replace(given, timestamps=times, query_times=asked)
        one, other = (getattr(made.encode(each, "score").states, state) for each in (given, later))
        return [not torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True)]

    @pytest.mark.parametrize("layout", ["items", "stacked", "interleaved"])
    @pytest.mark.parametrize(("time_ref", "first"), [("self", 3), ("next", 2), ("none", 6)])
    def test_a_time_moves_its_own_and_later_states_and_with_next_the_one_before(
        self, time_ref: str, first: int, layout: str
    ) -> None:
        assert self.moved(3, layout, time_ref=time_ref) == [event >= first for event in range(6)]

    def test_an_item_of_a_pair_asks_for_its_action_at_its_own_time(self) -> None:
        assert self.moved(3, "interleaved", "before") == [event >= 3 for event in range(6)]


class TestPadding:
    @each_variant
    def test_the_same_sequence_gives_the_same_states_whatever_the_padding(self, variant: str) -> None:
        made, given = model(**VARIANTS[variant]), batch(n_rows=4, length=9)
        together = after(made, given)
        for row, length in enumerate(given.lengths.tolist()):
            columns = {name: getattr(given, name)[row : row + 1, :length] for name in (
                "items", "timestamps", "query_times", "domains", "actions", "features", "hide_item", "hide_action",
                "candidate")}
            alone = replace(given, users=given.users[row : row + 1], lengths=given.lengths[row : row + 1], **columns)
            torch.testing.assert_close(after(made, alone)[0], together[row, :length], atol=1e-12, rtol=0)

    @each_variant
    def test_padded_slots_add_exactly_nothing(self, variant: str) -> None:
        made, given = model(**VARIANTS[variant]), batch()
        noise = replace(
            given, items=torch.where(given.valid, given.items, 7),
            timestamps=torch.where(given.valid, given.timestamps, 123_456_789),
            query_times=torch.where(given.valid, given.query_times, 5),
        )
        assert torch.equal(after(made, given)[given.valid], after(made, noise)[given.valid])


class TestPooling:
    """Sums over keys are not normalised: how often something happened counts."""

    def attention(self, spec: BackboneSpec, monkeypatch: pytest.MonkeyPatch, items: list[int]) -> Tensor:
        """What the last event gets of its keys in the first block, without any position or time."""
        made, seen = model(spec), []
        for name, parameter in made.named_parameters():
            if "positions" in name or "gaps" in name:
                nn.init.zeros_(parameter)
        attending: Callable[..., Tensor] = PartContext.attend

        def watched(ctx: PartContext, layer: int, *heads: Tensor, **arguments: Any) -> Tensor:
            seen.append(attending(ctx, layer, *heads, **arguments))
            return seen[-1]

        monkeypatch.setattr(PartContext, "attend", watched)
        after(made, replace(batch(n_rows=1, length=len(items)), items=torch.tensor([items])))
        monkeypatch.setattr(PartContext, "attend", attending)
        return seen[0][0, :, -1]

    def test_a_history_twice_over_counts_twice_where_softmax_counts_it_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for spec, times in ((SPEC, 2.0), (tiny_causal, 1.0)):
            once, twice = (self.attention(spec, monkeypatch, [4, 9, 2] * n) for n in (1, 2))
            torch.testing.assert_close(twice, times * once, atol=1e-12, rtol=0)
            assert once.abs().max() > 1e-3


class TestNormaliser:
    def test_both_agree_where_a_query_has_as_many_keys_as_a_window_has_tokens(self) -> None:
        given = batch(n_rows=1, length=WINDOW)
        constant, length = (model(layers=1, normaliser=name) for name in ("constant", "length"))
        same = (after(constant, given) - after(length, given))[0].abs().amax(dim=-1) < 1e-14
        assert same.tolist() == [False] * (WINDOW - 1) + [True]

    def test_length_counts_the_keys_in_sight_of_a_candidate_too(self) -> None:
        made = model(normaliser="length")
        one = batch(n_rows=2, length=6, candidates=2, task="action")
        swapped = replace(one, items=one.items.clone())
        swapped.items[0, 4] = one.items[0, 4] % 30 + 1
        assert torch.equal(after(made, one)[0, 5], after(made, swapped)[0, 5])
        assert not torch.equal(after(made, one)[0, 4], after(made, swapped)[0, 4])


class TestBias:
    def tables(self) -> RelativeBias:
        made = RelativeBias(WINDOW, time=True).double()
        with torch.no_grad():
            made.positions.copy_(torch.arange(2 * WINDOW - 1))
            made.gaps.copy_(1_000 * torch.arange(BUCKETS)) if made.gaps is not None else None
        return made

    @pytest.mark.parametrize("position", ["from_start", "from_end"])
    @pytest.mark.parametrize("candidates", [0, 2])
    def test_it_is_the_distance_of_positions_and_the_gap_of_times(self, position: str, candidates: int) -> None:
        layout = LayoutConfig.model_validate({"kind": "interleaved", "position": position})
        given = batch(candidates=candidates, task="action")
        tokens = model(layout=layout, per_event=2).encode(given, "score").tokens
        bias = self.tables()(cells(tokens, WINDOW, "self")).expand(len(given.items), 1, -1, -1)
        for row, length in enumerate(given.lengths.tolist()):
            at, time = tokens.position[row], tokens.timestamp[row]
            for i in range(2 * length):
                for j in range(2 * length):
                    expected = WINDOW - 1 + int(at[j] - at[i]) + 1_000 * bucket(int(time[i] - time[j]))
                    assert bias[row, 0, i, j] == expected

    def test_tokens_that_are_no_event_have_none(self) -> None:
        plain = model().encode(batch(), "score").tokens
        users = model(layout=LayoutConfig(user_token=True)).encode(batch(), "score").tokens
        assert users.n_prefix == 1
        tables = self.tables()
        without, with_user = tables(cells(plain, WINDOW, "next")), tables(cells(users, WINDOW, "next"))
        assert torch.equal(with_user[..., 1:, 1:], without)
        assert not with_user[..., 0, :].any()
        assert not with_user[..., :, 0].any()

    def test_one_set_of_positions_serves_all_rows(self) -> None:
        tokens = model().encode(batch(), "score").tokens
        assert cells(tokens, WINDOW, "none").positions.shape == (1, 7, 7)
        assert cells(tokens, WINDOW, "none").gaps is None
        assert RelativeBias(WINDOW, time=False)(cells(tokens, WINDOW, "none")).shape == (1, 1, 7, 7)

    def test_the_gradient_of_a_table_is_that_of_plain_indexing(self) -> None:
        draw = torch.Generator().manual_seed(0)
        plain = torch.randint(0, 5, (3, 6, 6), generator=draw, dtype=torch.int32)
        own = plain + 5 * torch.arange(3, dtype=torch.int32)[:, None, None]
        table = torch.randn(5, generator=draw, dtype=torch.float64).requires_grad_()
        direction = torch.randn(3, 6, 6, generator=draw, dtype=torch.float64)
        ours, theirs = _look_up(table, own), table[plain.long()]
        assert torch.equal(ours, theirs)
        torch.testing.assert_close(*(torch.autograd.grad(x, table, direction)[0] for x in (ours, theirs)))

    def test_the_gradient_of_one_bucket_for_all_pairs_of_a_large_batch_keeps_its_digits(self) -> None:
        rows, size = 300, 256  # more pairs than a float32 can count one by one
        at = torch.arange(rows, dtype=torch.int32)[:, None, None].expand(rows, size, size)
        table = torch.zeros(1, requires_grad=True)
        gradient, = torch.autograd.grad(_look_up(table, at).sum(), table)
        assert gradient.item() == rows * size * size > 2**24


def test_scores_lie_within_one_over_the_temperature() -> None:
    made = model(scorer=ScorerConfig(score="cosine", temperature=0.05))
    vectors = made.scorer.vectors()
    scores = made.scorer.query(after(made, batch()).flatten(0, 1)) @ vectors.T
    assert scores.abs().max() <= 20 + 1e-9
    assert scores.abs().max() > 10
    own = made.scorer.query(made.embedding.table) @ vectors.T
    torch.testing.assert_close(own.diagonal(), torch.full((30,), 20.0, dtype=torch.float64))


def test_attention_runs_block_by_block_and_is_the_pointwise_one() -> None:
    assert list(model().encode(batch(), "train").routes) == ["blockwise"] * 2
    assert SPEC.attention == "pointwise"
    assert SPEC.sites == SITES
    q = torch.ones(1, 1, 1, 1)
    assert attend(q, q, q, normaliser=4.0, scale=1.0).out.item() == pytest.approx(1 / (1 + math.exp(-1)) / 4)


def test_tables_and_maps_start_as_the_official_code_has_them() -> None:
    made = make_model(SPEC, {"width": 64}, objectives=[tiny_softmax], context=tiny_context(window=400))
    body: Any = made.backbone
    first, second = body.blocks
    assert body.positions.table.std().item() == pytest.approx(0.88 / 8, rel=0.05)  # a normal law cut at two deviations
    assert body.positions.table.abs().max() <= 2 / 8
    for table in (first.uvqk.weight, first.bias.positions):
        assert table.std().item() == pytest.approx(0.02, rel=0.1)
    assert first.out.weight.abs().max().item() == pytest.approx((6 / 128) ** 0.5, rel=0.01)
    assert not torch.equal(first.bias.gaps, second.bias.gaps)


def test_dropout_acts_in_training_alone_and_follows_its_generator() -> None:
    made, given = model(dropout=0.5), batch()
    start = made.generators["backbone"].get_state()
    first = after(made, given, "train")
    made.generators["backbone"].set_state(start)
    torch.rand(7)  # the global generator has no say
    assert torch.equal(first, after(made, given, "train"))
    assert not torch.equal(first, after(made, given, "train"))
    assert torch.equal(after(made, given), after(made, given))


class TestTimeIsLearned:
    """One item is seen again and again; whether item 2 or 3 follows hangs on how long it takes alone."""

    def loss(self, time_ref: str) -> float:
        draw = torch.Generator().manual_seed(0)
        long = torch.rand(64, 6, generator=draw) < 0.5
        asked = torch.where(long, 30 * DAY, 60).cumsum(dim=1)
        given = replace(
            batch(n_rows=64, length=6), items=torch.ones(64, 6, dtype=torch.int64), lengths=torch.full((64,), 6),
            query_times=asked, timestamps=torch.cat([torch.zeros_like(asked[:, :1]), asked[:, :-1]], dim=1),
        )
        made = make_model(SPEC, {"width": 8, "layers": 1, "dropout": 0.0, "time_ref": time_ref},
                          objectives=[tiny_softmax], context=tiny_context(window=WINDOW))
        optimiser = torch.optim.Adam(made.parameters(), lr=0.03)
        target, weights = torch.where(long, 1, 2).flatten(), torch.ones(64 * 6)
        for _ in range(80):
            loss = softmax_loss(after(made, given, "train").flatten(0, 1), made.scorer.vectors(), target, weights)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        return loss.item()

    def test_the_time_of_asking_tells_it_and_nothing_else_does(self) -> None:
        assert self.loss("next") < 0.2
        assert self.loss("self") > 0.5
        assert self.loss("none") > 0.6


class TestSpec:
    def timeless(self) -> World:
        world = tiny_world()
        return World(replace(world.interactions, timestamp=None), replace(world.catalogue, has_time=False))

    @pytest.mark.parametrize("time_ref", ["next", "self"])
    def test_data_without_timestamps_is_refused(self, time_ref: str) -> None:
        with pytest.raises(Refusal, match=r"^hstu: the data set has no timestamps\. Expected a data set that has\.$"):
            make_experiment((SPEC, {"time_ref": time_ref}), objectives=[tiny_softmax], world=self.timeless())

    def test_positions_alone_need_none(self) -> None:
        config = {"width": 8, "time_ref": "none"}
        made = make_experiment((SPEC, config), objectives=[tiny_softmax], world=self.timeless()).model
        assert not [name for name, _ in made.named_parameters() if "gaps" in name]

    def test_sums_are_divided_by_the_tokens_of_a_full_window(self) -> None:
        for layout, tokens in (("items", 8.0), ("interleaved", 16.0)):
            made = make_experiment((SPEC, {"normaliser": "length"}), objectives=[tiny_softmax], layout=layout).model
            assert made.traits.normaliser == made.backbone.full == tokens

    def test_heads_must_divide_the_width_unless_their_own_widths_are_given(self) -> None:
        for given in ({}, {"d_v": 4}, {"d_qk": 4}):
            with pytest.raises(ValidationError, match=r"heads: 6 does not divide the width 64\. Expected a divisor of "
                                                      r"the width, or both d_qk and d_v\. Nearest: 4\."):
                SPEC.config(heads=6, **given)
        assert SPEC.config(heads=6, d_qk=4, d_v=4)

    @pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": 1.0}, {"layers": 0}, {"time_ref": "last"},
                                       {"normaliser": "softmax"}, {"d_qk": 0}, {"ffn": 1}])
    def test_parameters_out_of_bounds_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPEC.config(**wrong)

    def test_describing_loads_no_torch(self) -> None:
        code = "import sys, benchbase_hstu as p; p.benchbase_backbones(); assert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)
