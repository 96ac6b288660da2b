"""The reference settings against independent implementations: same weights, same numbers, same gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from benchbase_transformers import benchbase_backbones
from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertForMaskedLM

from benchbase.data.batches import Batch
from benchbase.nn import Modifier, SelfAttention, SequenceModel
from benchbase.specs import BuildContext, Config, LayoutConfig, ModifierSpec, ScorerConfig
from benchbase.testing.build import forward, make_experiment, make_model
from benchbase.testing.tiny import tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

torch.set_num_threads(1)
SPECS = {spec.name: spec for spec in benchbase_backbones()}
N_ITEMS, WINDOW, WIDTH = 30, 12, 8
Get = Callable[[Tensor], Tensor]


def model(name: str, position: str, scorer: ScorerConfig | None = None, modifiers: Any = (),
          **parameters: Any) -> SequenceModel:
    """Two layers without dropout, random weights that no symmetry can hide, in float64."""
    layout = LayoutConfig.model_validate({"position": position})
    made = make_model(SPECS[name], {"width": WIDTH, "dropout": 0.0, **parameters}, layout=layout, scorer=scorer,
                      modifiers=modifiers, objectives=[tiny_softmax], context=tiny_context(N_ITEMS, WINDOW)).double()
    draw = torch.Generator().manual_seed(3)
    for parameter in made.parameters():
        nn.init.normal_(parameter, 0.0 if parameter.dim() > 1 else 0.5, 0.4, generator=draw)
    return made


def gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


class OfficialBlocks(nn.Module):
    """The official block out of torch's own layers, over a window padded on either side, positions from the left."""

    def __init__(self, heads: int, scale: float, shift: Tensor | None):
        super().__init__()
        self.scale, self.heads, self.shift = scale, heads, shift
        self.items, self.positions = nn.Embedding(N_ITEMS + 1, WIDTH), nn.Embedding(WINDOW, WIDTH)
        norms = [nn.LayerNorm(WIDTH, 1e-8) for _ in range(5)]
        self.query_norms, self.forward_norms = nn.ModuleList(norms[0:2]), nn.ModuleList(norms[2:4])
        self.last = norms[4]
        self.attentions = nn.ModuleList(nn.MultiheadAttention(WIDTH, heads, batch_first=True) for _ in range(2))
        self.rises, self.falls = (nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 1) for _ in range(2)) for _ in range(2))

    def forward(self, items: Tensor) -> Tensor:
        """(B, WINDOW) -> (B, WINDOW, WIDTH); items are 0 where padded."""
        real = (items > 0)[..., None]
        h = (self.scale * self.items(items) + self.positions.weight) * real
        hidden = real.mT & torch.ones(WINDOW, WINDOW, dtype=torch.bool).tril()
        mask = torch.where(hidden, 0.0, -1e9).double().repeat_interleave(self.heads, dim=0)
        layers = zip(self.query_norms, self.attentions, self.forward_norms, self.rises, self.falls, strict=True)
        for query_norm, attention, forward_norm, rise, fall in layers:
            queries, values = query_norm(h), h if self.shift is None else h + self.shift
            h = forward_norm(queries + attention(queries, h, values, attn_mask=mask, need_weights=False)[0])
            h = (h + fall(rise(h.mT).relu()).mT) * real
        return self.last(h)  # type: ignore[no-any-return]


def as_official(made: SequenceModel, get: Get, from_end: bool) -> dict[str, Tensor]:
    """Our parameters, or their gradients, under the names of `OfficialBlocks`."""
    body: Any = made.backbone
    positions = get(body.positions.table)
    table = get(made.embedding.table)
    found = {
        "items.weight": torch.cat([table.new_zeros(1, WIDTH), table]),
        "positions.weight": positions.flip(0) if from_end else positions,
        "last.weight": get(body.norm.weight), "last.bias": get(body.norm.bias),
    }
    for n, block in enumerate(body.blocks):
        attention = block.attention
        for kind in ("weight", "bias"):
            found[f"attentions.{n}.in_proj_{kind}"] = get(getattr(attention.qkv, kind))
            if isinstance(attention.out, nn.Linear):
                found[f"attentions.{n}.out_proj.{kind}"] = get(getattr(attention.out, kind))
            found[f"query_norms.{n}.{kind}"] = get(getattr(block.norm_attention, kind))
            found[f"forward_norms.{n}.{kind}"] = get(getattr(block.norm_forward, kind))
            for theirs, ours in (("rises", block.forward_map.rise), ("falls", block.forward_map.fall)):
                value = get(getattr(ours, kind))
                found[f"{theirs}.{n}.{kind}"] = value[..., None] if kind == "weight" else value
    return found


class Shift(Modifier):
    """Adds a vector to what values are projected from."""

    vector = torch.linspace(-1, 1, WIDTH, dtype=torch.float64)

    def value(self, ctx: Any, layer: int, h: Tensor) -> Tensor:
        return h + self.vector


def build_shift(config: Config, context: BuildContext) -> Shift:
    return Shift()


SHIFT = ModifierSpec(name="shift", config=Config, build=build_shift, sites=frozenset({"value"}), source="tests")


class TestOriginalSASRec:
    """Ours under `from_end` is the official left-padded window, under `from_start` the right-padded one."""

    @pytest.mark.parametrize("position", ["from_end", "from_start"])
    @pytest.mark.parametrize(("heads", "head_map"), [(1, False), (2, True)])
    @pytest.mark.parametrize("shifted", [False, True])
    def test_equals_torch_layers(self, position: str, heads: int, head_map: bool, shifted: bool) -> None:
        made = model("sasrec", position, order="original", heads=heads, head_map=head_map,
                     scale_embedding=head_map, modifiers=[SHIFT] if shifted else [])
        theirs = OfficialBlocks(heads, WIDTH**0.5 if head_map else 1.0, Shift.vector if shifted else None).double()
        if not head_map:
            for attention in theirs.attentions:
                nn.init.eye_(attention.out_proj.weight)
        missing = theirs.load_state_dict(as_official(made, Tensor.detach, position == "from_end"), strict=False)
        assert not missing.unexpected_keys and len(missing.missing_keys) == (0 if head_map else 4)
        for length in (7, WINDOW):
            self.compare(made, theirs, tiny_batch(n_items=N_ITEMS, length=length, dtype=torch.float64)[0], position)

    def compare(self, made: SequenceModel, theirs: OfficialBlocks, batch: Batch, position: str) -> None:
        items = torch.zeros(len(batch.items), WINDOW, dtype=torch.int64)
        for row, length in enumerate(batch.lengths.tolist()):
            first = WINDOW - length if position == "from_end" else 0
            items[row, first : first + length] = batch.items[row, :length]
        after = made.encode(batch, "train").states.after
        assert after is not None
        ours, reference = after[batch.valid], theirs(items)[items > 0]
        torch.testing.assert_close(ours, reference)
        compare_gradients(made, theirs, ours, reference, lambda: as_official(made, gradient, position == "from_end"))


def compare_gradients(made: SequenceModel, theirs: nn.Module, ours: Tensor, reference: Tensor,
                      renamed: Callable[[], dict[str, Tensor]]) -> None:
    """Both gradients of one random direction, parameter by parameter."""
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for module, out in ((made, ours), (theirs, reference)):
        module.zero_grad()
        torch.autograd.backward((out * direction).sum())
    parameters = dict(theirs.named_parameters())
    for name, value in renamed().items():
        wanted = gradient(parameters[name])
        if name == "items.weight":
            wanted[0] = 0.0  # the padding's, which nothing reads
        torch.testing.assert_close(value, wanted, msg=lambda text, name=name: f"{name}: {text}")


def bert(made: SequenceModel) -> BertForMaskedLM:
    """An untrained BERT of the sizes of ours; its last word is the hidden item, its token types say nothing."""
    body: Any = made.backbone
    config = BertConfig(
        vocab_size=N_ITEMS + 1, hidden_size=WIDTH, num_hidden_layers=body.n_layers, num_attention_heads=body.n_heads,
        intermediate_size=body.blocks[0].forward_map.rise.out_features, max_position_embeddings=WINDOW,
        type_vocab_size=1, pad_token_id=None, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    theirs = BertForMaskedLM(config).double()
    nn.init.zeros_(theirs.bert.embeddings.token_type_embeddings.weight)
    return theirs


def as_bert(made: SequenceModel, get: Get) -> dict[str, Tensor]:
    """Our parameters, or their gradients, under the names of `BertForMaskedLM`."""
    body: Any = made.backbone
    table, hidden = made.embedding.table, made.embedding.hidden
    assert hidden is not None
    found = {
        "bert.embeddings.word_embeddings.weight": torch.cat([get(table), get(hidden)[None]]),
        "bert.embeddings.position_embeddings.weight": get(body.positions.table),
    }
    pairs = {"bert.embeddings.LayerNorm": body.first_norm}
    if not isinstance(body.projection, nn.Identity):
        pairs |= {"cls.predictions.transform.dense": body.projection.map,
                  "cls.predictions.transform.LayerNorm": body.projection.norm}
        bias = get(made.scorer.item_bias)
        found["cls.predictions.bias"] = torch.cat([bias, bias.new_zeros(1)])
    for n, block in enumerate(body.blocks):
        layer = f"bert.encoder.layer.{n}"
        pairs |= {f"{layer}.attention.output.dense": block.attention.out,
                  f"{layer}.attention.output.LayerNorm": block.norm_attention,
                  f"{layer}.intermediate.dense": block.forward_map.rise,
                  f"{layer}.output.dense": block.forward_map.fall, f"{layer}.output.LayerNorm": block.norm_forward}
        for kind in ("weight", "bias"):
            thirds = get(getattr(block.attention.qkv, kind)).chunk(3)
            for name, third in zip(("query", "key", "value"), thirds, strict=True):
                found[f"{layer}.attention.self.{name}.{kind}"] = third
    for name, part in pairs.items():
        found |= {f"{name}.weight": get(part.weight), f"{name}.bias": get(part.bias)}
    return found


class TestPostNormBERT4Rec:
    """Ours with post-norm blocks is Hugging Face's BERT, with its head or without."""

    @pytest.mark.parametrize("position", ["from_start", "from_end"])
    @pytest.mark.parametrize("head", [True, False])
    def test_equals_hugging_face(self, position: str, head: bool) -> None:
        made = model("bert4rec", position, ScorerConfig(bias=head), order="post_norm", projection=head)
        theirs = bert(made)
        missing = theirs.load_state_dict(as_bert(made, Tensor.detach), strict=False)
        assert not missing.unexpected_keys
        theirs.tie_weights()
        for length in (7, WINDOW):
            batch, targets = tiny_batch(n_items=N_ITEMS, length=length, masked=True, dtype=torch.float64)
            given = torch.where(batch.hide_item, N_ITEMS, (batch.items - 1).clamp_min(0))
            index = torch.arange(length)
            places = index if position == "from_start" else (batch.lengths[:, None] - 1 - index).clamp_min(0)
            facts = {"input_ids": given, "attention_mask": batch.valid.long(),
                     "position_ids": places.expand_as(given)}
            output = forward(made, batch, targets).output
            if head:
                ours = output.scorer.scores(output.states)
                reference = theirs(**facts).logits[targets.row, targets.event, :N_ITEMS]
            else:
                ours = output.states
                reference = theirs.bert(**facts).last_hidden_state[targets.row, targets.event]
            torch.testing.assert_close(ours, reference)
            compare_gradients(made, theirs, ours, reference, lambda: as_bert(made, gradient))


class TestInitialLaw:
    def test_glorot_holds_for_each_of_queries_keys_and_values(self) -> None:
        body: Any = make_model(SPECS["sasrec"], {"width": 64, "ffn": 4, "init": "glorot"}).backbone
        fused = {part.qkv for part in body.modules() if isinstance(part, SelfAttention)}
        weights = [third for part in fused for third in part.weight.chunk(3)] + [body.positions.table]
        weights += [part.weight for part in body.modules() if isinstance(part, nn.Linear) and part not in fused]
        assert len(weights) == 2 * (3 + 1 + 2) + 1
        for weight in weights:
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.95 * bound < weight.abs().max() <= bound
            assert abs(weight.std() / (bound / 3**0.5) - 1) < 0.05

    def test_normal_is_the_default(self) -> None:
        body: Any = make_model(SPECS["sasrec"], {"width": 64}).backbone
        assert abs(body.blocks[0].attention.qkv.weight.std() / 0.02 - 1) < 0.05


@pytest.mark.parametrize("name", ["sasrec", "bert4rec"])
class TestPositionsThroughTheFeed:
    """Windows as training and ranking read them, full ones and short ones."""

    def places(self, name: str, phase: Any) -> list[tuple[Tensor, Batch]]:
        made = make_experiment((SPECS[name], {"width": WIDTH}), objectives=[tiny_softmax],
                               layout=LayoutConfig(position="from_end"))
        assert made.feed is not None and made.model is not None
        batches = [group.batch for step in made.feed.train_batches(1, 8, 2) for group in step]
        if phase == "score":
            batches = [chunk.batch for chunk in made.feed.score_batches(made.data.split.test_events, 8)]
        return [(made.model.encode(batch, phase).tokens.position, batch) for batch in batches]

    @pytest.mark.parametrize("phase", ["train", "score"])
    def test_from_end_the_newest_event_is_0_whatever_the_length(self, name: str, phase: str) -> None:
        lengths = set()
        for position, batch in self.places(name, phase):
            for row, length in enumerate(batch.lengths.tolist()):
                assert position[row, :length].tolist() == list(range(length))[::-1]
                lengths.add(length)
        assert max(lengths) == 8 and len(lengths) > 2

    def test_ranking_asks_at_position_0(self, name: str) -> None:
        for position, batch in self.places(name, "score"):
            last = (torch.arange(batch.n_rows), batch.lengths - 1)
            assert (position[last] == 0).all() and (batch.hide_item[last] == (name == "bert4rec")).all()
