"""Both backbones against torch's own encoder, and the laws of what they may see."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from benchbase_transformers import SITES, benchbase_backbones
from pydantic import ValidationError
from torch import nn

from benchbase import BuildContext
from benchbase.data.batches import Batch
from benchbase.nn import (
    ActionEmbedding,
    ItemEmbedding,
    Modifier,
    PrefixTokens,
    Scorer,
    SequenceModel,
    Traits,
    softmax_loss,
)
from benchbase.specs import LayoutConfig, ScorerConfig

torch.set_num_threads(1)
SPECS = {spec.name: spec for spec in benchbase_backbones()}
N_ITEMS, WINDOW, WIDTH = 12, 8, 16
both = pytest.mark.parametrize("name", list(SPECS))
ORDERS = [("sasrec", "pre_norm"), ("sasrec", "post_norm"), ("sasrec", "original"),
          ("bert4rec", "pre_norm"), ("bert4rec", "post_norm")]
orders = pytest.mark.parametrize(("name", "order"), ORDERS)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def model(name: str, layout: str = "items", modifier: Modifier | None = None, site: str = "",
          **parameters: Any) -> SequenceModel:
    spec = SPECS[name]
    each = 2 if layout == "interleaved" else 1
    config = spec.config(width=WIDTH, **parameters)
    embedding = ItemEmbedding(N_ITEMS, WIDTH, hidden=spec.training == "masked")
    nn.init.normal_(embedding.table)
    traits = Traits(causal=spec.causal, masked=spec.training == "masked", sites={"probe": frozenset({site})})
    made = SequenceModel(
        embedding, LayoutConfig(kind=layout),
        spec.build(config, BuildContext(n_items=N_ITEMS, n_users=4, window=WINDOW, max_tokens=each * WINDOW)),
        Scorer(ScorerConfig(), embedding), traits,
        {part: torch.Generator().manual_seed(1) for part in ("backbone", "modifier.probe")},
        modifiers={} if modifier is None else {"probe": modifier},
        actions=ActionEmbedding(1, WIDTH),
    )
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3) if parameter.dim() > 1 else nn.init.normal_(parameter, 0.5, 0.3)
    return made.double()


def batch(items: torch.Tensor, hide: torch.Tensor | None = None) -> Batch:
    """A batch of items (B, T), 0 where padded."""
    zeros, no = torch.zeros_like(items), torch.zeros_like(items, dtype=torch.bool)
    return Batch(
        users=torch.arange(len(items)), items=items, timestamps=zeros, query_times=zeros, domains=zeros - 1,
        actions=(items % 2).double()[..., None], lengths=(items > 0).sum(dim=1), features=torch.zeros(*items.shape, 0),
        hide_item=no if hide is None else hide, hide_action=no, candidate=no,
    )


ITEMS = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 9, 0, 0, 0], [10, 0, 0, 0, 0, 0]])


def states(made: SequenceModel, given: Batch, phase: Any = "score") -> torch.Tensor:
    after = made.encode(given, phase).states.after
    assert after is not None
    return after


def torch_encoder(made: SequenceModel, activation: str, order: str) -> nn.TransformerEncoder:
    """Torch's encoder with the weights of our blocks."""
    backbone = made.backbone
    block: Any = backbone.blocks[0]
    hidden, eps = block.forward_map.rise.out_features, block.norm_forward.eps
    layer = nn.TransformerEncoderLayer(WIDTH, backbone.n_heads, hidden, 0.0, activation, eps, batch_first=True,
                                       norm_first=order == "pre_norm")
    last = nn.LayerNorm(WIDTH, eps) if isinstance(backbone.norm, nn.LayerNorm) else nn.Identity()
    encoder = nn.TransformerEncoder(layer, backbone.n_layers, last, enable_nested_tensor=False).double()
    for theirs, ours in zip(encoder.layers, backbone.blocks, strict=True):
        pairs = [(theirs.self_attn.out_proj, ours.attention.out), (theirs.linear1, ours.forward_map.rise),
                 (theirs.linear2, ours.forward_map.fall), (theirs.norm1, ours.norm_attention),
                 (theirs.norm2, ours.norm_forward)]
        for target, source in pairs:
            target.load_state_dict(source.state_dict())
        theirs.self_attn.in_proj_weight.data.copy_(ours.attention.qkv.weight.data)
        theirs.self_attn.in_proj_bias.data.copy_(ours.attention.qkv.bias.data)
    encoder.norm.load_state_dict(backbone.norm.state_dict())
    return encoder


class TestEqualsTorch:
    """Score phase and training without dropout: the same function, the same gradient of item vectors."""

    @pytest.mark.parametrize("order", ["pre_norm", "post_norm"])
    @pytest.mark.parametrize("scale", [True, False])
    @pytest.mark.parametrize("activation", ["relu", "gelu"])
    def test_sasrec(self, activation: str, scale: bool, order: str) -> None:
        made = model("sasrec", dropout=0.0, ffn=2, layers=3, activation=activation, scale_embedding=scale, order=order)
        table, encoder = made.embedding.table, torch_encoder(made, activation, order)
        x = table[ITEMS[:1] - 1] * (WIDTH**0.5 if scale else 1.0) + made.backbone.positions.table[:6]
        mask = nn.Transformer.generate_square_subsequent_mask(6, dtype=torch.float64)
        self.compare(made, encoder(x, mask=mask, is_causal=True))

    @pytest.mark.parametrize("order", ["pre_norm", "post_norm"])
    @pytest.mark.parametrize("projection", [True, False])
    def test_bert4rec(self, projection: bool, order: str) -> None:
        made = model("bert4rec", dropout=0.0, projection=projection, order=order)
        backbone, encoder = made.backbone, torch_encoder(made, "gelu", order)
        h = encoder(backbone.first_norm(made.embedding.table[ITEMS[:1] - 1] + backbone.positions.table[:6]))
        if projection:
            h = backbone.projection.norm(nn.functional.gelu(backbone.projection.map(h)))
        self.compare(made, h)

    def compare(self, made: SequenceModel, reference: torch.Tensor) -> None:
        ours, table = states(made, batch(ITEMS[:1]), "train"), made.embedding.table
        torch.testing.assert_close(ours, reference)
        direction = torch.randn_like(ours)
        gradients = [torch.autograd.grad((h * direction).sum(), table)[0] for h in (ours, reference)]
        torch.testing.assert_close(*gradients)


class TestWhatAStateSees:
    def influence(self, name: str, order: str, layout: str) -> torch.Tensor:
        """Whether item j moves the state after event i, (6, 6) bool."""
        made = model(name, layout, order=order)
        base = states(made, batch(ITEMS[:1]))
        moved = []
        for j in range(6):
            other = ITEMS[:1].clone()
            other[0, j] = 12
            moved.append((states(made, batch(other)) != base)[0].any(dim=-1))
        return torch.stack(moved, dim=1)

    @pytest.mark.parametrize("order", ["pre_norm", "post_norm", "original"])
    @pytest.mark.parametrize("layout", ["items", "stacked", "interleaved"])
    def test_sasrec_sees_exactly_the_past(self, layout: str, order: str) -> None:
        assert torch.equal(self.influence("sasrec", order, layout), torch.ones(6, 6, dtype=torch.bool).tril())

    @pytest.mark.parametrize("order", ["pre_norm", "post_norm"])
    @pytest.mark.parametrize("layout", ["items", "stacked", "interleaved"])
    def test_bert4rec_sees_everything(self, layout: str, order: str) -> None:
        assert self.influence("bert4rec", order, layout).all()

    def test_bert4rec_does_not_see_a_hidden_item(self) -> None:
        made, hide = model("bert4rec"), torch.tensor([[False, True, False, False, False, False]])
        other = ITEMS[:1].clone()
        other[0, 1] = 12
        assert torch.equal(states(made, batch(ITEMS[:1], hide)), states(made, batch(other, hide)))

    @both
    def test_padding_and_the_other_rows_change_nothing(self, name: str) -> None:
        made = model(name)
        together = states(made, batch(ITEMS))
        for row, length in enumerate((6, 3, 1)):
            alone = states(made, batch(ITEMS[row : row + 1, :length]))
            torch.testing.assert_close(together[row, :length], alone[0])

    @both
    def test_the_order_of_events_matters(self, name: str) -> None:
        made = model(name)
        swapped = ITEMS[:1, [1, 0, 2, 3, 4, 5]]
        assert not torch.allclose(states(made, batch(swapped))[0, -1], states(made, batch(ITEMS[:1]))[0, -1])

    @both
    def test_as_many_tokens_as_the_context_says_fit(self, name: str) -> None:
        items = torch.arange(1, WINDOW + 1)[None]
        assert states(model(name, "interleaved"), batch(items)).shape == (1, WINDOW, WIDTH)


class TestDropout:
    @both
    def test_it_acts_in_training_alone_and_follows_its_generator(self, name: str) -> None:
        made, given = model(name), batch(ITEMS)
        first = states(made, given, "train")
        made.generators["backbone"].manual_seed(1)
        torch.rand(7)  # the global generator has no say
        assert torch.equal(first, states(made, given, "train"))
        assert not torch.equal(first, states(made, given, "train"))
        assert torch.equal(states(made, given), states(made, given))


    @orders
    @pytest.mark.parametrize("rate", [0.0, 0.2])
    def test_where_it_acts(self, name: str, order: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[tuple[int, ...], float]] = []

        def spy(x: torch.Tensor, p: float, generator: torch.Generator) -> torch.Tensor:
            seen.append((tuple(x.shape), p))
            return x

        monkeypatch.setattr("benchbase.nn.context.dropout", spy)
        inside = {"ffn_dropout": 1.5 * rate} if name == "sasrec" else {}
        made = model(name, order=order, dropout=rate / 2, attention_dropout=rate, ffn=3, **inside)
        states(made, batch(ITEMS), "train")
        wide, weights, inner = ((3, 6, WIDTH), 0.1), ((3, 2, 6, 6), 0.2), ((3, 6, 3 * WIDTH), pytest.approx(0.3))
        layer = [weights, *([] if order == "original" else [wide]), *([inner] if inside else []), wide]
        assert seen == ([wide, *layer, *layer] if rate else [])

    @orders
    def test_on_attention_weights_it_takes_the_slow_route_in_training_alone(self, name: str, order: str) -> None:
        made, plain = (model(name, order=order, dropout=0.0, attention_dropout=p) for p in (0.3, 0.0))
        plain.load_state_dict(made.state_dict())
        given = batch(ITEMS)
        assert set(made.encode(given, "train").routes) == {"explicit"}
        assert made.encode(given, "score").routes == plain.encode(given, "train").routes
        assert torch.equal(states(made, given), states(plain, given))
        assert not torch.allclose(states(made, given, "train"), states(plain, given, "train"))


class Neutral(Modifier):
    """Absent at every site."""

    def prefix(self, ctx: Any) -> None:
        return None

    def mask(self, ctx: Any, layer: int) -> None:
        return None

    bias = boost = mask

    def value(self, ctx: Any, layer: int, h: torch.Tensor) -> torch.Tensor:
        return h

    states = value

    def changes_weights(self, layer: int) -> bool:
        return False

    def weights(self, ctx: Any, layer: int, w: torch.Tensor) -> torch.Tensor:
        return w

    def readout(self, ctx: Any, h: torch.Tensor) -> torch.Tensor:
        return h


class Active(Modifier):
    """Does something that can be seen at every site; perturbs by a random vector, which norms cannot hide."""

    def __init__(self) -> None:
        super().__init__()
        self.vector = torch.randn(WIDTH, dtype=torch.float64)

    def prefix(self, ctx: Any) -> PrefixTokens:
        return PrefixTokens(self.vector.expand(len(ctx.batch.items), 1, WIDTH))

    def mask(self, ctx: Any, layer: int) -> torch.Tensor:
        return torch.eye(ctx.tokens.x.shape[1], dtype=torch.bool)[None, None]

    def bias(self, ctx: Any, layer: int) -> torch.Tensor:
        return torch.arange(ctx.tokens.x.shape[1], dtype=torch.float64)[None, None, None]

    def boost(self, ctx: Any, layer: int) -> torch.Tensor:
        return 1 + self.bias(ctx, layer).expand(1, 1, ctx.tokens.x.shape[1], -1)

    def weights(self, ctx: Any, layer: int, w: torch.Tensor) -> torch.Tensor:
        return 2 * w

    def value(self, ctx: Any, layer: int, h: torch.Tensor) -> torch.Tensor:
        return h + self.vector

    states = value

    def readout(self, ctx: Any, h: torch.Tensor) -> torch.Tensor:
        return h + self.vector


class TestSites:
    @orders
    @pytest.mark.parametrize("site", sorted(SITES))
    def test_each_declared_site_is_honoured(self, name: str, order: str, site: str) -> None:
        made, given = model(name, order=order), batch(ITEMS)
        plain = states(made, given)
        for modifier, same in ((Neutral(), True), (Active(), False)):
            modified = model(name, modifier=modifier, site=site, order=order)
            modified.load_state_dict(made.state_dict())
            assert torch.equal(states(modified, given)[0], plain[0]) == same


class TestTheyLearn:
    """Sequences that count upwards: the next or the hidden item follows from its neighbours."""

    def fit(self, made: SequenceModel, hide: torch.Tensor | None, at: slice, shift: int) -> float:
        made = made.float()
        for parameter in made.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.1)
        for norm in (part for part in made.modules() if isinstance(part, nn.LayerNorm)):
            norm.reset_parameters()
        optimiser = torch.optim.Adam(made.parameters(), lr=0.01)
        start = torch.arange(N_ITEMS)[:, None]
        items = (start + torch.arange(6)) % N_ITEMS + 1
        for _ in range(100):
            given = batch(items, hide)
            after = states(made, given, "train")[:, at].reshape(-1, WIDTH)
            target = items[:, slice(at.start + shift, (at.stop + shift))].reshape(-1) - 1
            loss = softmax_loss(after, made.scorer.vectors(), target, torch.ones(len(target)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return loss.item()

    def test_sasrec(self) -> None:
        assert self.fit(model("sasrec", dropout=0.1), None, slice(0, 5), 1) < 0.5

    def test_bert4rec(self) -> None:
        hide = torch.zeros(N_ITEMS, 6, dtype=torch.bool)
        hide[:, 3] = True
        assert self.fit(model("bert4rec", dropout=0.1), hide, slice(3, 4), 0) < 0.5


class TestSpecs:
    def test_training_and_mask(self) -> None:
        assert (SPECS["sasrec"].training, SPECS["sasrec"].causal) == ("next", True)
        assert (SPECS["bert4rec"].training, SPECS["bert4rec"].causal) == ("masked", False)

    @both
    def test_heads_must_divide_the_width(self, name: str) -> None:
        with pytest.raises(ValidationError, match=r"heads: 6 does not divide the width 64\. Expected a divisor of the "
                                                  r"width\. Nearest: 4\."):
            SPECS[name].config(heads=6)

    @both
    @pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": 1.0}, {"layers": 0}, {"activation": "tanh"},
                                       {"depth": 2}])
    def test_parameters_out_of_bounds_are_refused(self, name: str, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPECS[name].config(**wrong)

    def test_bert4rec_has_no_original_order(self) -> None:
        with pytest.raises(ValidationError, match="pre_norm"):
            SPECS["bert4rec"].config(order="original")

    def test_describing_loads_no_torch(self) -> None:
        code = "import sys, benchbase_transformers as p; p.benchbase_backbones(); assert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)
