"""The causal Transformer with rotary positions: parity with Hugging Face's Llama, and what its scales do."""

import pytest
import torch
from benchbase_transformers import benchbase_backbones
from pydantic import ValidationError
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from benchbase.nn import rotate, rotation
from benchbase.testing.build import make_model
from benchbase.testing.world import tiny_batch

spec = {spec.name: spec for spec in benchbase_backbones()}["transformer"]


def test_turns_are_llamas():
    torch.manual_seed(0)
    q, k = (torch.randn(2, 3, 7, 8) for _ in range(2))
    position = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [4, 4, 9, 30, 31, 200, 511]])
    llama = LlamaRotaryEmbedding(LlamaConfig(hidden_size=24, num_attention_heads=3))
    theirs = apply_rotary_pos_emb(q, k, *llama(q, position))
    turn = rotation(position, 8, 10_000.0, torch.float32)
    for one, other in zip((rotate(q, turn), rotate(k, turn)), theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)


def states(batch, **config):
    model = make_model(spec, {"width": 8, "dropout": 0.0, **config}).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.mul_(6)
    return model.encode(batch, "score").states.after


def test_only_distances_matter():
    """Events that begin later in the window are encoded alike: the mask and the distances are the same."""
    from dataclasses import replace

    batch, _ = tiny_batch(n_rows=1, dtype=torch.float64)
    layouts = [states(batch, position=position) for position in ("rope", "none", "learned")]
    assert (layouts[0] - layouts[1]).abs().max() > 1e-3 < (layouts[0] - layouts[2]).abs().max()
    model = make_model(spec, {"width": 8}).double()
    plain = model.backbone

    class Moved(torch.nn.Module):
        width, n_layers, n_heads = plain.width, plain.n_layers, plain.n_heads

        def forward(self, ctx):
            ctx._shared.tokens = replace(ctx.tokens, position=ctx.tokens.position + 5)
            return plain(ctx)

    first = model.encode(batch, "score").states.after
    model.backbone = Moved()
    torch.testing.assert_close(model.encode(batch, "score").states.after, first, atol=1e-12, rtol=0)


def test_a_skip_scale_of_almost_nothing_leaves_the_tokens():
    batch, _ = tiny_batch(dtype=torch.float64)
    small = states(batch, skip_scale=1e-9, position="none")
    assert torch.allclose(small, states(batch, skip_scale=1e-9, attention_scale=3.0, position="none"), atol=1e-7)
    assert not torch.allclose(small, states(batch, position="none"), atol=1e-3)


def test_a_scale_of_the_scores_is_used():
    batch, _ = tiny_batch(dtype=torch.float64)
    assert torch.allclose(states(batch), states(batch, attention_scale=4**-0.5), atol=1e-12)
    assert not torch.allclose(states(batch), states(batch, attention_scale=0.025), atol=1e-6)


def test_an_odd_width_of_heads_cannot_be_turned():
    with pytest.raises(ValidationError, match=r"width: 6 over 2 heads is 3, which is odd\. Expected an even width"):
        spec.config(width=6, heads=2)
    assert spec.config(width=6, heads=2, position="learned").width == 6
