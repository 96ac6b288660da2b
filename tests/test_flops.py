"""Operations of a sequence: what the layers of a model must cost, counted by hand; nothing else moves them."""

import pytest
import torch

from benchbase.evaluate import flops_per_sequence, rank
from benchbase.evaluate.flops import _recurrent, _recurrent_on_gpu
from benchbase.registry import Registry
from benchbase.testing.build import make_experiment
from benchbase.testing.probes import probe_recent
from benchbase.testing.tiny import tiny_causal, tiny_softmax

WINDOW, WIDTH = 4, 32
REGISTRY = Registry.load()


def installed(kind, name):
    return REGISTRY.get(kind, name)


def full(backbone, **parts):
    """An experiment whose evaluated events all have a full window before them."""
    protocol = {"split": "leave_one_out", "window": WINDOW}
    return make_experiment((installed("backbone", backbone), {"width": WIDTH, **parts.pop("config", {})}),
                           objectives=[tiny_softmax], protocol=protocol, **parts)


@pytest.mark.plugins
@pytest.mark.parametrize(("backbone", "config", "by_hand"), [
    # per layer: queries, keys, values and output; scores and sums; two maps of the feed-forward part
    ("sasrec", {"layers": 2}, 2 * (8 * WINDOW * WIDTH**2 + 4 * WINDOW**2 * WIDTH + 4 * WINDOW * WIDTH**2)),
    ("genrank", {"layers": 3}, 3 * (8 * WINDOW * WIDTH**2 + 4 * WINDOW**2 * WIDTH + 16 * WINDOW * WIDTH**2)),
    ("gru4rec", {"layers": 1}, 2 * WINDOW * 6 * WIDTH**2),
])
def test_operations_are_those_of_the_layers(backbone, config, by_hand):
    assert flops_per_sequence(full(backbone, config=config)) == by_hand


def test_a_recurrent_layer_costs_the_same_wherever_it_runs():
    """What a GPU runs is one kernel for all layers, with its weights in a list, biases among them."""
    x, inner, outer, bias = (4, 8, 16), (96, 16), (96, 32), (96,)
    here = _recurrent(x, inner, outer) + _recurrent((4, 8, 32), outer, outer)
    assert _recurrent_on_gpu(x, [inner, outer, bias, bias, outer, outer, bias, bias]) == here


def test_counting_leaves_the_model_as_it_is():
    made = make_experiment((tiny_causal, {"dropout": 0.3}), objectives=[tiny_softmax], compressor=probe_recent)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    states = [generator.get_state() for generator in made.model.generators.values()]
    ranks, random = rank(made, "test").above, torch.get_rng_state()
    assert flops_per_sequence(made) == flops_per_sequence(made) > 0
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())
    assert all(map(torch.equal, states, [g.get_state() for g in made.model.generators.values()]))
    assert torch.equal(random, torch.get_rng_state()) and (rank(made, "test").above == ranks).all()


@pytest.mark.plugins
def test_a_view_of_a_parameter_is_no_result_whose_gradient_is_wanted():
    """PMA's queries are a parameter seen once for each row, and go through a map."""
    tokens, items = 2, 16
    made = full("genrank", config={"layers": 1, "time": "none"},
                compressor=(installed("compressor", "pma"), {"tokens": tokens, "budget": "extra", "items": items}))
    frozen = made.model.compressor.second.weight.requires_grad_(False)
    wanted = {name: each.requires_grad for name, each in made.model.named_parameters()}
    read = tokens + WINDOW
    layer = 8 * read * WIDTH**2 + 4 * read**2 * WIDTH + 16 * read * WIDTH**2
    pooled = 4 * tokens * WIDTH**2 + 2 * tokens * WIDTH**2  # queries, out and the rest
    attended = 4 * items * WIDTH**2 + 4 * tokens * items * WIDTH
    assert layer + pooled < flops_per_sequence(made) <= layer + pooled + attended
    assert {name: each.requires_grad for name, each in made.model.named_parameters()} == wanted
    assert not frozen.requires_grad and sum(wanted.values()) == len(wanted) - 1


def test_what_is_no_model_has_none():
    made = make_experiment(tiny_causal, objectives=[tiny_softmax])
    made.model = None
    assert flops_per_sequence(made) is None
