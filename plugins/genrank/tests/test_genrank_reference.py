"""GenRank against its equations written out, one row, query, key and head at a time, gradients too."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from benchbase_genrank import benchbase_backbones
from torch import Tensor

from benchbase.data.batches import Batch
from benchbase.nn import SequenceModel
from benchbase.specs import LayoutConfig
from benchbase.testing.build import make_model
from benchbase.testing.tiny import tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

torch.set_num_threads(1)
(SPEC,) = benchbase_backbones()
DAY = 86_400
WINDOW = 12
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of the backbone, of the layout
    "stacked": ({}, {"kind": "stacked"}),
    "items": ({"time": "none", "heads": 1}, {"kind": "items"}),
    "by time": ({"time_bias": 0.7}, {"kind": "stacked", "user_token": True}),
    "gated": ({"activation": "swiglu", "heads": 4}, {"kind": "stacked", "position": "from_end", "user_token": True}),
}


def model(config: dict[str, Any], layout: dict[str, Any]) -> SequenceModel:
    """A model in double precision whose parameters are large enough for every path to count."""
    made = make_model(SPEC, {"width": 8, "heads": 2, "layers": 2, "ffn": 2} | config, objectives=[tiny_softmax],
                      layout=LayoutConfig.model_validate(layout), context=tiny_context(window=WINDOW)).double()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return made


def batch(candidates: int) -> Batch:
    """Rows whose events are of a few times each: several in one request, near ones and far ones."""
    given = tiny_batch(n_rows=3, length=6, candidates=candidates, task="action", dtype=torch.float64)[0]
    draw = torch.Generator().manual_seed(4)
    apart = torch.tensor([0, 0, 1, 90, DAY, 40 * DAY])[torch.randint(0, 6, given.items.shape, generator=draw)]
    times = torch.where(given.valid, 1_600_000_000 + apart.cumsum(dim=1), 0)
    return replace(given, timestamps=times, query_times=times)


class Slow:
    """The states of one row from the equations; the user token first where there is one, then events."""

    def __init__(self, made: SequenceModel, given: Batch, row: int):
        self.model, self.body, self.row, self.given = made, made.backbone, row, given
        self.length = int(given.lengths[row])
        self.candidate = given.candidate[row].tolist()
        self.times = given.timestamps[row, : self.length].tolist()
        context = self.candidate[: self.length].count(False)
        self.place = [context if self.candidate[i] else i for i in range(self.length)]
        if made.layout.position == "from_end":
            self.place = [max(self.place) - place for place in self.place]

    def states(self) -> Tensor:
        """States (L, D) after the events."""
        tokens: list[int | None] = [*([None] if self.model.users is not None else []), *range(self.length)]
        h = [self.token(event) for event in tokens]
        for block in self.body.blocks:
            a = [self.attention(block, h, tokens, i) for i in range(len(h))]
            h = [x + y for x, y in zip(h, a, strict=True)]
            h = [x + forward_map(block.forward_map, norm(x, block.norm_forward)) for x in h]
        return torch.stack([norm(x, self.body.norm) for x, event in zip(h, tokens, strict=True) if event is not None])

    def token(self, event: int | None) -> Tensor:
        if event is None:
            return self.model.users.table[self.given.users[self.row]]
        x = self.model.embedding.table[self.given.items[self.row, event] - 1] + self.body.positions.table[
            self.place[event]]
        if self.model.layout.kind == "stacked":
            actions = self.model.actions
            hidden = bool(self.given.hide_action[self.row, event])
            x = x + (actions.hidden if hidden else linear(actions.map, self.given.actions[self.row, event]))
        if self.body.requests is None:
            return x
        known = {self.times[j] for j in range(event) if not self.candidate[j]}
        earlier = [time for time in known if time < self.times[event]]
        gap = bucket(self.times[event] - max(earlier)) if earlier else 0
        return x + self.body.requests.table[len(known | {self.times[event]}) - 1] + self.body.gaps.table[gap]

    def attention(self, block: Any, h: list[Tensor], tokens: list[int | None], i: int) -> Tensor:
        normed, each = [norm(x, block.norm_attention) for x in h], self.body.width // self.body.n_heads
        seen, out = [j for j in range(i + 1) if self.sees(tokens[i], tokens[j])], []
        for head in range(self.body.n_heads):
            part = slice(head * each, (head + 1) * each)
            q = linear(block.qk, normed[i])[: self.body.width][part]
            scores = [
                (q * linear(block.qk, normed[j])[self.body.width :][part]).sum() / math.sqrt(each)
                - 2 ** (-8 * (head + 1) / self.body.n_heads) * self.far(tokens[i], tokens[j]) for j in seen
            ]
            total = sum(score.exp() for score in scores)
            out.append(sum(score.exp() / total * linear(block.v, normed[j])[part]
                           for score, j in zip(scores, seen, strict=True)))
        return linear(block.out, torch.cat(out))

    def sees(self, query: int | None, key: int | None) -> bool:
        return key is None or key == query or (query is not None and not self.candidate[key])

    def far(self, query: int | None, key: int | None) -> float:
        if query is None or key is None:
            return 0.0
        gap = self.body.time_bias * bucket(self.times[query] - self.times[key]) if self.body.time_bias else 0
        return abs(self.place[query] - self.place[key]) + gap


def bucket(seconds: int) -> int:
    return min(math.floor(math.log(max(abs(seconds), 1)) / 0.301), 63)


def linear(layer: Any, x: Tensor) -> Tensor:
    return layer.weight @ x + layer.bias


def norm(x: Tensor, layer: Any) -> Tensor:
    return (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt() * layer.weight + layer.bias


def forward_map(layer: Any, x: Tensor) -> Tensor:
    inner = linear(layer.rise, x)
    if len(inner) == layer.fall.in_features:
        return linear(layer.fall, inner * (1 + torch.erf(inner / math.sqrt(2))) / 2)
    gate, other = inner[: len(inner) // 2], inner[len(inner) // 2 :]
    return linear(layer.fall, gate / (1 + (-gate).exp()) * other)


@pytest.mark.parametrize("candidates", [0, 3])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_it_equals_the_equations_written_out_gradients_too(variant: str, candidates: int) -> None:
    made, given = model(*VARIANTS[variant]), batch(candidates)
    reference = torch.cat([Slow(made, given, row).states() for row in range(3)])
    states = made.encode(given, "score").states.after
    assert states is not None
    ours = states[given.valid]
    torch.testing.assert_close(ours, reference, atol=1e-9, rtol=0)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    parameters = [made.embedding.table, *made.backbone.parameters()]
    if made.actions is not None:
        parameters += [made.actions.map.weight, *([made.actions.hidden] if candidates else [])]
    for one, other in zip(*(torch.autograd.grad(x, parameters, direction) for x in (ours, reference)), strict=True):
        assert (one != 0).any()
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)
