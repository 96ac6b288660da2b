"""The smallest parts that honour the contracts, so that the core alone and each plugin alone can be tested."""

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ..data import Explainer, Explanation, Names, Recommendation, quoted
from ..data.batches import Batch, Targets
from ..nn import (
    Backbone,
    Objective,
    Output,
    PartContext,
    PositionEmbedding,
    TransformerBlock,
    init_linear,
)
from ..specs import SITES, BackboneSpec, BuildContext, Config, ExplainerSpec, Needs, ObjectiveSpec

SOURCE = "benchbase.testing"


class TinyConfig(Config):
    """Sizes of a tiny backbone."""

    width: int = Field(8, ge=2, description="width of the states")
    n_layers: int = Field(2, ge=1, description="layers")
    n_heads: int = Field(2, ge=1, description="attention heads; they divide the width")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of each residual")


class TinyTransformer(Backbone):
    """Pre-norm transformer blocks over tokens with learned positions; the mask is the core's."""

    def __init__(self, config: TinyConfig, context: BuildContext):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.n_layers, config.n_heads
        self.positions = PositionEmbedding(context.window, config.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.n_heads, config.width, config.dropout)
            for _ in range(config.n_layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, ctx: PartContext) -> Tensor:
        h = ctx.tokens.x + self.positions(ctx.tokens.position)
        for layer, block in enumerate(self.blocks):
            h = block(ctx, layer, h)
        return self.norm(h)  # type: ignore[no-any-return]


class TinyPointwise(Backbone):
    """Attention without softmax, each head's output gated: h + map(gate * norm(attention))."""

    def __init__(self, config: TinyConfig, context: BuildContext):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.n_layers, config.n_heads
        self.positions = PositionEmbedding(context.window, config.width)
        self.uqk = nn.ModuleList(nn.Linear(config.width, 3 * config.width) for _ in range(config.n_layers))
        self.v = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.n_layers))
        self.out = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.n_layers))
        for layers in (self.uqk, self.v, self.out):
            init_linear(*layers)

    def forward(self, ctx: PartContext) -> Tensor:
        h = ctx.tokens.x + self.positions(ctx.tokens.position)
        for layer in range(self.n_layers):
            source = ctx.value(layer, h)
            u, q, k = F.silu(self.uqk[layer](self._norm(h))).chunk(3, dim=-1)
            v = F.silu(self.v[layer](self._norm(source)))
            mixed = ctx.attend(layer, self._split(q), self._split(k), self._split(v), scale=1.0)
            h = ctx.states(layer, h + self.out[layer](u * self._norm(mixed.transpose(1, 2).flatten(2))))
        return self._norm(h)

    def _norm(self, h: Tensor) -> Tensor:
        return F.layer_norm(h, (self.width,))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.n_heads, self.width // self.n_heads).transpose(1, 2)


class TinyRecurrent(Backbone):
    """Gated recurrent layers over the tokens in order; a token that is not valid leaves the state as it was."""

    def __init__(self, config: TinyConfig, context: BuildContext):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.n_layers, 0
        self.dropout = config.dropout
        self.cells = nn.ModuleList(nn.GRUCell(config.width, config.width) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, ctx: PartContext) -> Tensor:
        h = ctx.tokens.x
        for layer, cell in enumerate(self.cells):
            h = ctx.states(layer, self._run(cell, ctx.dropout(h, self.dropout), ctx.tokens.valid.unsqueeze(-1)))
        return self.norm(h)  # type: ignore[no-any-return]

    def _run(self, cell: nn.Module, x: Tensor, valid: Tensor) -> Tensor:
        """States (B, S, D) after each token of x (B, S, D)."""
        state, held = torch.zeros_like(x[:, 0]), []
        for token in range(x.shape[1]):
            state = torch.where(valid[:, token], cell(x[:, token], state), state)
            held.append(state)
        return torch.stack(held, dim=1)


class TinySoftmax(Objective):
    """Cross-entropy over all items, from scores held in full."""

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        scores = output.scorer.scores(output.states)
        return {"softmax": targets.mean(F.cross_entropy(scores, targets.item - 1, reduction="none"))}


class TinyBCE(Objective):
    """Binary cross-entropy of every predicted action, summed over actions."""

    def losses(self, output: Output, targets: Targets, batch: Batch) -> dict[str, Tensor]:
        assert output.logits is not None
        each = F.binary_cross_entropy_with_logits(output.logits, targets.actions, reduction="none")
        return {"nll": targets.mean(each.sum(dim=-1))}


def _transformer(config: TinyConfig, context: BuildContext) -> Any:
    return TinyTransformer(config, context)


def _pointwise(config: TinyConfig, context: BuildContext) -> Any:
    return TinyPointwise(config, context)


def _recurrent(config: TinyConfig, context: BuildContext) -> Any:
    return TinyRecurrent(config, context)


def _bce(config: Config, context: BuildContext) -> Any:
    return TinyBCE()


def _softmax(config: Config, context: BuildContext) -> Any:
    return TinySoftmax()


tiny_causal = BackboneSpec(
    name="tiny_causal", config=TinyConfig, build=_transformer, source=SOURCE, sites=SITES
)
tiny_bidirectional = BackboneSpec(
    name="tiny_bidirectional", config=TinyConfig, build=_transformer, source=SOURCE, sites=SITES,
    training="masked", causal=False,
)
tiny_pointwise = BackboneSpec(
    name="tiny_pointwise", config=TinyConfig, build=_pointwise, source=SOURCE, sites=SITES,
    attention="pointwise",
)
tiny_recurrent = BackboneSpec(
    name="tiny_recurrent", config=TinyConfig, build=_recurrent, source=SOURCE, attention="none",
    sites=frozenset({"prefix", "states", "readout"}),
)
tiny_softmax = ObjectiveSpec(
    name="tiny_softmax", config=Config, build=_softmax, source=SOURCE,
    needs=Needs(tasks=frozenset({"next_item"})),
)
tiny_bce = ObjectiveSpec(
    name="tiny_bce", config=Config, build=_bce, source=SOURCE, needs=Needs(tasks=frozenset({"action"})),
)


class PlaceConfig(Config):
    """Which event is the evidence."""

    place: int = Field(-1, description="counted as Python counts; what is beyond the past is its nearest end")


class Place(Explainer):
    """Always the same place of the past."""

    def __init__(self, config: PlaceConfig, context: BuildContext):
        self.place, self.names = config.place, Names(context.catalogue)

    def explain(self, recommendation: Recommendation) -> Explanation:
        n = len(recommendation.past)
        event = max(0, n + self.place) if self.place < 0 else min(self.place, n - 1)
        item, chosen = (quoted(self.names.item(each)) for each in (recommendation.item, recommendation.past[event]))
        return Explanation((event,), f"{item}, for you chose {chosen}.")


tiny_explainer = ExplainerSpec(name="tiny_explainer", config=PlaceConfig, build=Place, source=SOURCE)
