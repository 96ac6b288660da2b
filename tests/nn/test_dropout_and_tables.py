"""Dropout draws from its generator alone; tables keep padding and hidden entries apart."""

import pytest
import torch

from benchbase.errors import ConfigError
from benchbase.nn import ActionEmbedding, ItemEmbedding, PositionEmbedding, SelfAttention, dropout
from benchbase.nn.dropout import LEVELS


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_the_share_dropped_and_the_mean_are_right(p):
    x = torch.ones(400, 500)
    out = dropout(x, p, generator())
    share = round(p * LEVELS) / LEVELS
    dropped = (out == 0).float().mean()
    assert abs(float(dropped) - share) < 5 * (share * (1 - share) / x.numel()) ** 0.5
    assert abs(share - p) <= 0.5 / LEVELS
    kept = out[out != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)))
    assert abs(float(out.mean()) - 1) < 0.02


def test_0_is_the_very_same_and_1_leaves_nothing():
    x = torch.randn(3, 5, requires_grad=True)
    before = (drawn := generator()).get_state()
    assert dropout(x, 0.0, drawn) is x and dropout(x, 0.4 / LEVELS, drawn) is x
    assert torch.equal(before, drawn.get_state())
    gone = dropout(x, 1.0, drawn)
    assert (gone == 0).all()
    gone.sum().backward()
    assert (x.grad == 0).all()


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_shape_and_precision_is_kept_and_drawn_from_the_generator(shape, dtype):
    x = torch.ones(shape, dtype=dtype)
    state = torch.get_rng_state()
    first, second = dropout(x, 0.5, generator(3)), dropout(x, 0.5, generator(3))
    assert first.shape == x.shape and first.dtype == dtype and torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state()) and (x == 1).all()


def test_the_gradient_is_the_factor():
    x = torch.randn(50, 3).transpose(0, 1).requires_grad_()
    out = dropout(x, 0.5, generator())
    out.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), out.detach())


def test_an_event_without_any_action_starts_as_the_zero_vector():
    table = ActionEmbedding(2, 3)
    assert (table(torch.zeros(1, 4, 2)) == 0).all() and (table.map.weight != 0).all()


def test_padding_is_0_and_learns_nothing_and_hidden_items_share_one_vector():
    table = ItemEmbedding(5, 3, hidden=True)
    items, hide = torch.tensor([[0, 5, 0, 1]]), torch.tensor([[False, False, True, False]])
    x = table(items, hide)
    assert (x[0, 0] == 0).all() and torch.equal(x[0, 1], table.table[4]) and torch.equal(x[0, 2], table.hidden)
    x.square().sum().backward()
    assert (table.table.grad[1:4] == 0).all() and (table.table.grad[[0, 4]] != 0).any(-1).all()
    plain = ItemEmbedding(5, 3, hidden=False)
    assert plain.hidden is None and (plain(items, hide)[0, 2] == 0).all()
    plain(torch.zeros(1, 2, dtype=torch.int64)).sum().backward()
    assert (plain.table.grad == 0).all()


def test_tokens_that_are_no_event_get_no_position():
    positions = PositionEmbedding(4, 3)
    x = positions(torch.tensor([[-1, 0, 3]]))
    assert (x[0, 0] == 0).all() and torch.equal(x[0, 1:], positions.table[[0, 3]])
    assert torch.equal(positions(torch.tensor([[2, 1]]))[0], positions.table[[2, 1]])
    assert positions(torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 0, 3)


def test_heads_that_do_not_divide_the_width_are_refused_with_the_nearest_width():
    with pytest.raises(ConfigError) as error:
        SelfAttention(9, 2)
    assert str(error.value) == ("attention: width 9 does not divide into 2 heads. Expected a multiple of 2. "
                                "Take width 8.")
