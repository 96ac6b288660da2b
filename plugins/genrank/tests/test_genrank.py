"""GenRank: what a token knows, what a candidate may not, and the laws of its biases."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from benchbase_genrank import LAYOUTS, SITES, benchbase_backbones
from benchbase_genrank.bias import alibi, slopes
from benchbase_genrank.times import BUCKETS, buckets, requests
from pydantic import ValidationError
from torch import Tensor

from benchbase import Refusal
from benchbase.data.batches import Batch
from benchbase.nn import Kind, PartContext, SequenceModel, Tokens, softmax_loss
from benchbase.specs import HeadConfig, LayoutConfig
from benchbase.testing.build import forward, make_experiment, make_model
from benchbase.testing.probes import probe_recent
from benchbase.testing.tiny import tiny_bce, tiny_softmax
from benchbase.testing.world import World, tiny_batch, tiny_context, tiny_world

torch.set_num_threads(1)
(SPEC,) = benchbase_backbones()
DAY = 86_400
WINDOW = 12
ACTIONS: dict[str, Any] = {  # the action task as GenRank trains it
    "layout": "stacked", "protocol": {"tasks": ["action"], "action_candidates": 2, "metrics": ["ne", "auc"]},
    "train": {"supervise": "candidates"}, "objectives": [tiny_bce],
}


def model(layout: LayoutConfig | str = "stacked", seed: int = 0, **parameters: Any) -> SequenceModel:
    """A small model in double precision whose parameters are large enough for every path to count."""
    config = {"width": 8, "heads": 2, "layers": 2} | parameters
    made = make_model(SPEC, config, objectives=[tiny_softmax], layout=layout, head=HeadConfig(),
                      context=tiny_context(window=WINDOW, rates=[0.5, 0.5])).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return made


def batch(candidates: int = 0, **arguments: Any) -> Batch:
    task = "action" if candidates else "next_item"
    return tiny_batch(**{"task": task, "candidates": candidates, "dtype": torch.float64} | arguments)[0]


def at_times(given: Batch, *times: int) -> Batch:
    """The batch with these times in every row."""
    known = torch.tensor(times).expand_as(given.items)
    return replace(given, timestamps=torch.where(given.valid, known, 0))


def after(made: SequenceModel, given: Batch, phase: Any = "score") -> Tensor:
    states = made.encode(given, phase).states.after
    assert states is not None
    return states


def tokens_of(given: Batch, layout: LayoutConfig | str = "stacked") -> Tokens:
    return model(layout).encode(given, "score").tokens


class TestBuckets:
    @pytest.mark.parametrize(("seconds", "expected"), [
        (0, 0), (1, 0), (2, 2), (60, 13), (3_600, 27), (DAY, 37), (30 * DAY, 49), (365 * DAY, 57), (-60, 13),
        (6 * 365 * DAY, 63), (2**62, 63),
    ])
    def test_the_bucket_of_a_gap(self, seconds: int, expected: int) -> None:
        assert buckets(torch.tensor(seconds)).item() == expected
        assert min(math.floor(math.log(max(abs(seconds), 1)) / 0.301), 63) == expected


class TestRequests:
    def slow(self, times: list[int], candidate: list[bool]) -> tuple[list[int], list[int]]:
        """Requests and buckets of a row by the definition: sets of the times that a token knows."""
        number, gap = [], []
        for i, time in enumerate(times):
            known = {times[j] for j in range(i) if not candidate[j]} | {time}
            earlier = [other for other in known if other < time]
            number.append(len(known) - 1)
            gap.append(min(math.floor(math.log(time - max(earlier)) / 0.301), 63) if earlier else 0)
        return number, gap

    @pytest.mark.parametrize("candidates", [0, 1, 3, 8])
    def test_they_equal_a_loop_over_the_definition(self, candidates: int) -> None:
        given = batch(candidates, n_rows=40, length=8)
        draw = torch.Generator().manual_seed(candidates)
        apart = torch.tensor([0, 0, 1, 2, 50, DAY, 4_000 * DAY])[torch.randint(0, 7, (40, 8), generator=draw)]
        given = replace(given, timestamps=torch.where(given.valid, apart.cumsum(dim=1), 0))
        found = requests(tokens_of(given), given.candidate)
        for row, length in enumerate(given.lengths.tolist()):
            times, candidate = given.timestamps[row, :length].tolist(), given.candidate[row].tolist()
            ours = found.number[row, :length].tolist(), found.gap[row, :length].tolist()
            assert ours == self.slow(times, candidate)

    def test_events_of_one_time_are_one_request_and_the_first_has_bucket_0(self) -> None:
        given = at_times(batch(n_rows=1, length=5), 100, 100, 160, 160, 160 + DAY)
        number, gap = requests(tokens_of(given), given.candidate)
        assert number.tolist() == [[0, 0, 1, 1, 2]]
        assert gap.tolist() == [[0, 0, 13, 13, 37]]

    def test_a_candidate_counts_the_context_and_itself(self) -> None:
        given = at_times(batch(3, n_rows=1, length=5), 100, 160, 160, 160 + DAY, 160 + DAY)
        number, gap = requests(tokens_of(given), given.candidate)
        assert number.tolist() == [[0, 1, 1, 2, 2]]
        assert gap.tolist() == [[0, 13, 13, 37, 37]]

    def test_tokens_that_are_no_event_have_none(self) -> None:
        given = batch()
        tokens = tokens_of(given, LayoutConfig(kind="stacked", user_token=True))
        assert tokens.n_prefix == 1
        for with_user, without in zip(requests(tokens, given.candidate),
                                      requests(tokens_of(given), given.candidate), strict=True):
            assert with_user[:, 0].tolist() == [-1] * 4
            assert torch.equal(with_user[:, 1:], without)


class TestWhatTimesMove:
    def moved(self, event: int, **parameters: Any) -> list[bool]:
        """Which states move when all events from one on happen later."""
        made, given = model(**parameters), batch(n_rows=1, length=6)
        times = given.timestamps + 300 * DAY * (torch.arange(6) >= event)
        one, other = after(made, given), after(made, replace(given, timestamps=times))
        return [not torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True)]

    @pytest.mark.parametrize(("parameters", "first"), [({}, 3), ({"time_bias": 0.5}, 3), ({"time": "none"}, 6)])
    def test_a_time_moves_its_own_and_later_states(self, parameters: dict[str, Any], first: int) -> None:
        assert self.moved(3, **parameters) == [event >= first for event in range(6)]

    def test_when_the_next_event_is_asked_for_moves_nothing(self) -> None:
        made, given = model(time_bias=0.5), batch()
        later = replace(given, query_times=given.query_times + 300 * DAY)
        assert torch.equal(after(made, given), after(made, later))


class TestCandidates:
    def test_request_mates_of_one_item_are_one_state(self) -> None:
        """They share position, request and gap; only a time of its own tells one from the other."""
        given = at_times(batch(2, n_rows=1, length=5), 100, 160, 260, DAY, DAY)
        items = given.items.clone()
        items[0, 4] = items[0, 3]
        given = replace(given, items=items)
        for parameters in ({}, {"time_bias": 0.5}, {"activation": "swiglu"}):
            made = model(**parameters)
            tokens, states = made.encode(given, "score").tokens, after(made, given)
            assert tokens.position.tolist() == [[0, 1, 2, 3, 3]]
            torch.testing.assert_close(states[0, 3], states[0, 4], atol=1e-12, rtol=0)
            apart = after(made, at_times(given, 100, 160, 260, DAY, 300 * DAY))
            assert torch.equal(apart[0, :4], states[0, :4])
            assert (apart[0, 4] - states[0, 4]).abs().max() > 1e-3

    def test_a_candidate_changes_no_other_state(self) -> None:
        made, given = model(time_bias=0.5), batch(3, n_rows=2, length=6)
        other = replace(given, items=given.items.clone(), timestamps=given.timestamps.clone())
        other.items[0, 4] = given.items[0, 4] % 30 + 1
        other.timestamps[0, 4] += 300 * DAY
        moved = (after(made, given) - after(made, other)).abs().amax(dim=-1) > 0
        assert moved.nonzero().tolist() == [[0, 4]]

    def test_a_candidate_is_its_item_and_the_vector_of_hidden_actions(self) -> None:
        made, given = model(), batch(2)
        x = made.encode(given, "score").tokens.x
        assert made.actions is not None
        torch.testing.assert_close(x[given.candidate], made.embedding(given.items[given.candidate])
                                   + made.actions.hidden)
        before = after(made, given)
        with torch.no_grad():
            made.actions.hidden += 1
        moved = (after(made, given) != before).any(dim=-1)
        assert torch.equal(moved & given.valid, given.candidate)

    def test_what_was_done_to_it_is_nowhere_in_the_batch_that_is_read(self) -> None:
        """Worlds that differ in the true actions of the candidates alone give the same states, and other labels."""
        world = tiny_world()
        last = world.interactions.offsets[1:] - 1
        actions = world.interactions.actions.copy()
        actions[last] = 1 - actions[last]
        flipped = World(replace(world.interactions, actions=actions), world.catalogue)
        found = []
        for each in (world, flipped):
            made = make_experiment((SPEC, {"width": 8, "heads": 2}), world=each, **ACTIONS)
            assert made.feed is not None and made.model is not None
            chunk = next(made.feed.score_batches(made.data.split.test_events, 64))
            assert bool(chunk.batch.candidate.any())
            found.append((forward(made.model, chunk.batch, chunk.targets, "score").output.logits, chunk.targets))
        (one, label), (other, opposite) = found
        assert one is not None and other is not None
        assert torch.equal(one, other)
        assert not torch.equal(label.actions, opposite.actions)

    def test_log_odds_have_no_gradient_to_the_candidates_own_actions(self) -> None:
        made, (given, targets) = model(), tiny_batch(candidates=2, task="action", dtype=torch.float64)
        vectors: list[Tensor] = []
        assert made.actions is not None
        made.actions.register_forward_hook(lambda module, given, out: vectors.append(out))
        watched = replace(given, actions=given.actions.clone().requires_grad_())
        logits = forward(made, watched, targets, "score").output.logits
        assert logits is not None and len(vectors) == 1
        for found in torch.autograd.grad(logits.square().sum(), [vectors[0], watched.actions]):
            assert (found[given.candidate] == 0).all()
            assert (found[0, :-2] != 0).any(dim=-1).all()

    def test_they_alone_are_learned_from(self) -> None:
        made = make_experiment((SPEC, {"width": 8, "heads": 2}), **ACTIONS)
        assert made.feed is not None and made.model is not None
        for group in next(iter(made.feed.train_batches(1, 8, 2))):
            asked = torch.zeros_like(group.batch.candidate)
            asked[group.targets.row, group.targets.event] = True
            assert torch.equal(asked, group.batch.candidate)
            assert asked.sum(dim=1).tolist() == [2] * group.batch.n_rows
            loss, = forward(made.model, group.batch, group.targets).losses.values()
            assert torch.isfinite(loss)


class TestBias:
    def test_slopes_halve_from_head_to_head_where_there_are_eight(self) -> None:
        assert slopes(8).tolist() == [2.0**-h for h in range(1, 9)]
        assert slopes(2).tolist() == [1 / 16, 1 / 256]

    @pytest.mark.parametrize("end", ["from_start", "from_end"])
    def test_it_falls_with_the_distance_and_one_row_serves_all(self, end: str) -> None:
        tokens = tokens_of(batch(), LayoutConfig.model_validate({"kind": "stacked", "position": end}))
        bias = alibi(tokens, slopes(4), 0.0)
        assert bias.shape == (1, 4, 7, 7)
        for h, i, j in torch.cartesian_prod(torch.arange(4), torch.arange(7), torch.arange(7)).tolist():
            assert bias[0, h, i, j] == -(2.0 ** (-2 * (h + 1))) * abs(i - j)
        below = torch.ones(6, 6, dtype=torch.bool).tril()
        assert (bias[0, :, 1:, 1:] > bias[0, :, 1:, :-1])[:, below].all()

    @pytest.mark.parametrize("end", ["from_start", "from_end"])
    def test_candidates_lie_equally_far_from_the_context(self, end: str) -> None:
        given = batch(3, n_rows=2, length=7)
        tokens = tokens_of(given, LayoutConfig.model_validate({"kind": "stacked", "position": end}))
        bias = alibi(tokens, slopes(1), 0.0)
        assert bias.shape == (2, 1, 7, 7)
        for candidate in (4, 5, 6):
            assert (bias[0, 0, candidate, :4] * -256).tolist() == [4, 3, 2, 1]
            assert bias[0, 0, candidate, candidate] == 0

    def test_a_single_candidate_costs_no_bias_of_each_row(self) -> None:
        assert alibi(tokens_of(batch(1)), slopes(2), 0.0).shape == (1, 2, 7, 7)

    def test_times_add_their_buckets_at_the_share_of_the_slope(self) -> None:
        given = at_times(batch(n_rows=1, length=4), 0, 60, 60, DAY)
        tokens = tokens_of(given)
        far = torch.tensor([[0, 13, 13, 37], [13, 0, 0, 37], [13, 0, 0, 37], [37, 37, 37, 0]])
        ours = alibi(tokens, slopes(2), 0.5) - alibi(tokens, slopes(2), 0.0)
        torch.testing.assert_close(ours[0], -0.5 * slopes(2)[:, None, None] * far)

    def test_tokens_that_are_no_event_are_near_to_all_but_for_the_time_of_history(self) -> None:
        given = at_times(batch(n_rows=1, length=3), 3_600, 3_660, DAY)
        tokens = tokens_of(given, LayoutConfig(kind="stacked", user_token=True))
        plain = tokens_of(given)
        for strength in (0.0, 0.5):
            bias = alibi(tokens, slopes(2), strength)
            assert torch.equal(bias[..., 1:, 1:], alibi(plain, slopes(2), strength))
            assert not bias[..., 0, :].any()
            assert not bias[..., :, 0].any()
        kind, time = tokens.kind.clone(), tokens.timestamp.clone()
        kind[:, 0], time[:, 0] = Kind.HISTORY, 3_600 - 60
        history = replace(tokens, kind=kind, timestamp=time)
        assert not alibi(history, slopes(2), 0.0)[..., 0].any()
        bias = alibi(history, slopes(1), 0.5)[0, 0]
        assert (bias[:, 0] * -512).tolist() == [0, 13, buckets(torch.tensor(120)).item(),
                                                buckets(torch.tensor(DAY - 3_540)).item()]
        assert not bias[0].any()

    def test_it_is_made_once_and_given_to_every_layer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Tensor] = []
        attend = PartContext.attend

        def watch(ctx: PartContext, layer: int, *heads: Tensor, bias: Tensor, **options: Any) -> Tensor:
            seen.append(bias)
            return attend(ctx, layer, *heads, bias=bias, **options)

        monkeypatch.setattr(PartContext, "attend", watch)
        encoded = model(layers=3).encode(batch(), "train")
        assert list(encoded.routes) == ["fused-mask"] * 3
        assert len(seen) == 3 and all(bias is seen[0] for bias in seen)
        assert seen[0].shape == (1, 2, 7, 7) and not seen[0].requires_grad


class TestTokens:
    @pytest.mark.parametrize("layout", sorted(LAYOUTS))
    def test_an_event_is_one_token(self, layout: str) -> None:
        given = batch()
        assert tokens_of(given, layout).x.shape[1] == given.items.shape[1]

    def test_two_tokens_for_an_event_are_refused(self) -> None:
        with pytest.raises(Refusal, match=r"^genrank \+ layout interleaved: the backbone does not take it\. "
                                          r"Expected items or stacked\.$"):
            make_experiment(SPEC, objectives=[tiny_softmax], layout="interleaved")

    def test_an_action_seen_moves_its_own_and_later_states(self) -> None:
        made, given = model(), batch(n_rows=1, length=6)
        other = replace(given, actions=given.actions.clone())
        other.actions[0, 3] = 1 - given.actions[0, 3]
        moved = (after(made, given) != after(made, other)).any(dim=-1)[0]
        assert moved.tolist() == [event >= 3 for event in range(6)]


def test_biases_have_no_parameters_and_each_time_a_table() -> None:
    width = 16
    timed, untimed = (model("items", width=width, time=time).backbone for time in ("requests", "none"))
    count = {body: sum(p.numel() for p in body.parameters()) for body in (timed, untimed)}
    assert count[timed] - count[untimed] == (WINDOW + BUCKETS) * width
    maps, norms = 4 * width * (width + 1) + 4 * width * width + width + 4 * width * (width + 1) - 4 * width, 4 * width
    assert count[untimed] == WINDOW * width + 2 * (maps + norms + 4 * width) + 2 * width
    assert "slopes" not in timed.state_dict()


def test_a_gate_costs_as_many_parameters() -> None:
    plain, gated = (sum(p.numel() for p in model(width=24, activation=name).backbone.blocks[0].forward_map.parameters())
                    for name in ("gelu", "swiglu"))
    assert abs(gated / plain - 1) < 0.02


def test_history_is_as_near_as_the_event_itself_unless_times_say_otherwise() -> None:
    for strength, moves in ((0.0, False), (0.5, True)):
        made = make_experiment((SPEC, {"width": 8, "heads": 2, "time_bias": strength}), objectives=[tiny_softmax],
                               compressor=probe_recent, layout="stacked", protocol={"window": 6})
        assert made.feed is not None and made.model is not None
        given = max((group.batch for step in made.feed.train_batches(1, 8, 1) for group in step),
                    key=lambda each: int(each.plan.tokens.max()))
        older = replace(given, plan=replace(given.plan, latest=given.plan.latest - 400 * DAY))
        tokens = made.model.encode(given, "score").tokens
        assert tokens.n_prefix > 0 and bool((tokens.kind[:, 0] == Kind.HISTORY).all())
        same = torch.equal(after(made.model, given)[given.valid], after(made.model, older)[given.valid])
        assert same is not moves


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
    """One item is seen again and again; whether item 2 or 3 follows hangs on how long it took alone."""

    def loss(self, time: str) -> float:
        draw = torch.Generator().manual_seed(0)
        long = torch.rand(64, 6, generator=draw) < 0.5
        given = replace(batch(n_rows=64, length=6), items=torch.ones(64, 6, dtype=torch.int64),
                        lengths=torch.full((64,), 6), timestamps=torch.where(long, 30 * DAY, 60).cumsum(dim=1))
        made = make_model(SPEC, {"width": 8, "heads": 2, "layers": 1, "dropout": 0.0, "time": time},
                          objectives=[tiny_softmax], context=tiny_context(window=WINDOW))
        optimiser = torch.optim.Adam(made.parameters(), lr=0.03)
        target, weights = torch.where(long, 1, 2)[:, 1:].flatten(), torch.ones(64 * 5)  # the first gap is unknown
        for _ in range(80):
            states = after(made, given, "train")[:, 1:].flatten(0, 1)
            loss = softmax_loss(states, made.scorer.vectors(), target, weights)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        return loss.item()

    def test_the_gap_before_a_request_tells_it_and_nothing_else_does(self) -> None:
        assert self.loss("requests") < 0.2
        assert self.loss("none") > 0.6


class TestSpec:
    def timeless(self) -> World:
        world = tiny_world()
        return World(replace(world.interactions, timestamp=None), replace(world.catalogue, has_time=False))

    def test_data_without_timestamps_is_refused_with_the_way_out(self) -> None:
        with pytest.raises(Refusal, match=r"^genrank: the data set has no timestamps\. Expected a data set that has, "
                                          r"or genrank\[time=none\]\.$"):
            make_experiment(SPEC, objectives=[tiny_softmax], world=self.timeless())

    def test_positions_alone_need_none(self) -> None:
        made = make_experiment((SPEC, {"width": 8, "time": "none"}), objectives=[tiny_softmax], world=self.timeless())
        assert made.model is not None and made.feed is not None
        group = next(iter(made.feed.train_batches(1, 8, 1)))[0]
        assert torch.isfinite(after(made.model, group.batch)).all()
        assert {name.split(".")[0] for name, _ in made.model.backbone.named_parameters()} == {
            "positions", "blocks", "norm"}

    def test_a_bias_by_time_without_times_is_refused(self) -> None:
        with pytest.raises(ValidationError, match=r"time_bias: 0\.5 where time is none: there is nothing to measure\. "
                                                  r"Expected 0\. Use time: requests, or leave time_bias out\."):
            SPEC.config(time="none", time_bias=0.5)

    def test_heads_must_divide_the_width(self) -> None:
        with pytest.raises(ValidationError, match=r"heads: 6 does not divide the width 64\. Expected a divisor of the "
                                                  r"width\. Nearest: 4\."):
            SPEC.config(heads=6)

    @pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": 1.0}, {"layers": 0}, {"time": "auto"},
                                       {"time_bias": -1.0}, {"activation": "relu"}, {"ffn": 0}, {"concat": 1}])
    def test_parameters_out_of_bounds_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPEC.config(**wrong)

    def test_it_says_what_it_is(self) -> None:
        assert (SPEC.attention, SPEC.causal, SPEC.training, SPEC.sites) == ("softmax", True, "next", SITES)
        config = SPEC.config()
        assert (config.layers, config.heads, config.time_bias) == (3, 8, 0.0)

    def test_describing_loads_no_torch(self) -> None:
        code = "import sys, benchbase_genrank as p; p.benchbase_backbones(); assert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)
