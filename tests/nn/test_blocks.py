"""Blocks equal torch's own layers, whichever hidden queries, keys and values come from, gradients included."""

from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchbase.nn import SelfAttention, TransformerBlock, attend

WIDTH, HEADS = 8, 2


def context(**changes):
    """A causal forward pass without modifiers or dropout; `changes` replace what a block calls."""
    usual = {
        "attend": lambda layer, q, k, v, scale, dropout: attend(q, k, v, causal=True, scale=scale).out,
        "value": lambda layer, h: h, "states": lambda layer, h: h, "dropout": lambda x, p: x,
    }
    return SimpleNamespace(**(usual | changes))


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


def agree(ours, theirs, inputs):
    """Equal numbers, and equal gradients to every input."""
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    found, wanted = (torch.autograd.grad((out * direction).sum(), inputs, allow_unused=True) for out in (ours, theirs))
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


def multihead(attention):
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = attention.qkv.weight.data, attention.qkv.bias.data
    if isinstance(attention.out, nn.Linear):
        theirs.out_proj.load_state_dict(attention.out.state_dict())
    else:
        nn.init.eye_(theirs.out_proj.weight)
    return theirs


@pytest.mark.parametrize("head_map", [True, False])
@pytest.mark.parametrize("which", list(product(range(3), repeat=3)), ids=str)
def test_queries_keys_and_values_may_come_from_anywhere(which, head_map):
    attention = randomised(SelfAttention(WIDTH, HEADS, head_map=head_map))
    theirs, hiddens = multihead(attention), torch.randn(3, 2, 5, WIDTH, dtype=torch.float64).requires_grad_().unbind()
    q, k, v = (hiddens[each] for each in which)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    agree(attention(context(), 0, q, v, k), theirs(q, k, v, attn_mask=mask, need_weights=False)[0], hiddens)
    agree(attention(context(), 0, q, v), theirs(q, q, v, attn_mask=mask, need_weights=False)[0], hiddens)


@pytest.mark.parametrize("order", ["pre_norm", "post_norm"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_block_equals_torchs(order, activation):
    block = randomised(TransformerBlock(WIDTH, HEADS, 3 * WIDTH, 0.0, activation, order=order, eps=1e-3))
    theirs = nn.TransformerEncoderLayer(WIDTH, HEADS, 3 * WIDTH, 0.0, activation, 1e-3, batch_first=True,
                                        norm_first=order == "pre_norm").double()
    theirs.self_attn = multihead(block.attention)
    for target, source in ((theirs.linear1, block.forward_map.rise), (theirs.linear2, block.forward_map.fall),
                           (theirs.norm1, block.norm_attention), (theirs.norm2, block.norm_forward)):
        target.load_state_dict(source.state_dict())
    h = torch.randn(2, 5, WIDTH, dtype=torch.float64).requires_grad_()
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    agree(block(context(), 0, h), theirs(h, src_mask=mask, is_causal=True), [h])


@pytest.mark.parametrize("order", ["pre_norm", "post_norm"])
def test_each_dropout_acts_at_its_own_rate(order):
    seen = []

    def dropout(x, p):
        seen.append((x.shape[-1], p))
        return x

    def attended(layer, q, k, v, scale, dropout):
        seen.append(("weights", dropout))
        return v

    block = TransformerBlock(WIDTH, HEADS, 3 * WIDTH, 0.1, order=order, attention_dropout=0.2, ffn_dropout=0.3)
    block(context(attend=attended, dropout=dropout), 0, torch.randn(2, 5, WIDTH))
    assert seen == [("weights", 0.2), (WIDTH, 0.1), (3 * WIDTH, 0.3), (WIDTH, 0.1)]


@pytest.mark.parametrize("order", ["pre_norm", "post_norm"])
def test_values_come_from_what_the_site_gives(order):
    block = randomised(TransformerBlock(WIDTH, HEADS, WIDTH, 0.0, order=order))
    read = []
    block.attention.register_forward_pre_hook(lambda module, inputs: read.append(inputs[2:]))
    h = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    other = h + torch.randn(WIDTH, dtype=torch.float64)
    block(context(value=lambda layer, hidden: other), 0, h)
    (queries, values), = read
    norm = block.norm_attention if order == "pre_norm" else nn.Identity()
    assert torch.equal(queries, norm(h)) and torch.equal(values, norm(other))
