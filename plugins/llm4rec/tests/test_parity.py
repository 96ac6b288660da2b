"""Demographic parity: both games' gradients by hand, who counts, and what an opponent can know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benchbase_llm4rec import benchbase_objectives
from benchbase_llm4rec.config import ParityConfig
from benchbase_llm4rec.parity import DemographicParity

from benchbase.data import Groups
from benchbase.testing.build import make_model, train_step
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

SPEC = {spec.name: spec for spec in benchbase_objectives()}["demographic_parity"]
CODES = np.random.default_rng(5).permutation(np.array([0, 1, 1, -1] * 6, np.int16))


def grouped(code=CODES, **changes):
    return replace(tiny_context(**changes), user_groups={"gender": Groups(code, ("F", "M"))})


def stepped(**config):
    """Losses and gradients of one step beside a softmax, and the model."""
    chosen = [tiny_softmax] if config.pop("alone", False) else [tiny_softmax, (SPEC, {"group": "gender", **config})]
    model = make_model(tiny_causal, objectives=chosen, context=grouped()).double()
    return train_step(model, *tiny_batch(dtype=torch.float64)), model


def gradients(model, part="backbone."):
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return {name: grad for name, grad in found.items() if name.startswith(part)}


@pytest.mark.parametrize("game", ["reversal", "prior"])
def test_without_strength_the_model_learns_as_if_nobody_played(game):
    _, plain = stepped(alone=True)
    step, played = stepped(strength=0.0, game=game)
    for name, grad in gradients(plain).items():
        assert torch.equal(grad, gradients(played)[name]), name
    opponent = gradients(played, "objectives.demographic_parity.")
    assert opponent and all(grad.abs().sum() > 0 for grad in opponent.values())
    assert step.losses["demographic_parity.opponent"] > 0


def test_reversal_takes_the_opponents_gradient_away_and_leaves_its_own():
    _, plain = stepped(alone=True)
    _, once = stepped(strength=0.5)
    _, twice = stepped(strength=1.0)
    moved = 0.0
    for name, grad in gradients(plain).items():
        first, second = gradients(once)[name] - grad, gradients(twice)[name] - grad
        torch.testing.assert_close(second, 2 * first)
        moved += float(first.abs().sum())
    assert moved > 0
    for name, grad in gradients(once, "objectives.").items():
        torch.testing.assert_close(grad, gradients(twice, "objectives.")[name])


def made(config, code=CODES):
    torch.manual_seed(0)
    context = replace(grouped(code), width=5, state_width=5)
    return DemographicParity(config, context).double()


class Seen:
    def __init__(self, states):
        self.states = states


def drawn():
    batch, targets = tiny_batch(n_rows=8, dtype=torch.float64)
    torch.manual_seed(1)
    return Seen(torch.randn(len(targets), 5, dtype=torch.float64, requires_grad=True)), targets, batch


def test_the_reversed_gradient_is_that_of_the_opponent_times_minus_strength():
    objective = made(ParityConfig(strength=0.3))
    output, targets, batch = drawn()
    (given,) = torch.autograd.grad(objective.losses(output, targets, batch)["opponent"], output.states)
    plain = torch.autograd.grad(by_hand(objective, output.states, targets, batch), output.states)[0]
    torch.testing.assert_close(given, -0.3 * plain)


def by_hand(objective, states, targets, batch):
    """The weighted mean over all targets, those of nobody's group as 0."""
    total = torch.zeros((), dtype=torch.float64)
    for place, row in enumerate(targets.row.tolist()):
        if (code := int(CODES[batch.users[row]])) >= 0:
            each = F.cross_entropy(objective.opponent(states[place]), torch.tensor(code))
            total = total + each * targets.weights[place]
    return total / targets.weights.sum()


def test_events_count_alike_and_those_of_nobodys_group_are_0():
    objective = made(ParityConfig())
    output, targets, batch = drawn()
    weighed = replace(targets, weights=torch.rand(len(targets), dtype=torch.float64) + 0.1)
    loss = objective.losses(output, weighed, batch)["opponent"]
    torch.testing.assert_close(loss, by_hand(objective, output.states, weighed, batch))
    assert (CODES[batch.users.numpy()] == -1).any()


def test_rows_in_two_parts_have_the_mean_of_both_parts():
    """However a batch is cut into groups of like length, the gradient is the same."""
    objective = made(ParityConfig(game="prior"))
    output, targets, batch = drawn()
    weighed = replace(targets, weights=torch.rand(len(targets), dtype=torch.float64) + 0.1)
    whole = objective.losses(output, weighed, batch) | objective.logs(output, weighed, batch)
    parts, sizes = [], []
    for some in (targets.row < 3, targets.row >= 3):
        cut = replace(weighed, row=weighed.row[some], weights=weighed.weights[some])
        seen = Seen(output.states[some])
        parts.append(objective.losses(seen, cut, batch) | objective.logs(seen, cut, batch))
        sizes.append(cut.weights.sum())
    for name, value in whole.items():
        mean = sum(part[name] * size for part, size in zip(parts, sizes, strict=True)) / sum(sizes)
        torch.testing.assert_close(mean, value)


def test_the_prior_game_descends_to_the_entropy_and_nowhere_lower():
    objective = made(ParityConfig(game="prior", strength=2.0))
    output, targets, batch = drawn()
    entropy = -(objective.prior * objective.prior.log()).sum()
    events = grouped().train().lengths
    share = torch.tensor([events[code == CODES].sum() for code in (0, 1)], dtype=torch.float64)
    torch.testing.assert_close(objective.prior, share / share.sum())
    batch = replace(batch, users=torch.full_like(batch.users, int(np.flatnonzero(CODES == 0)[0])))
    found = objective.losses(output, targets, batch)
    assert found["parity"] > entropy
    (given,) = torch.autograd.grad(sum(found.values()), output.states)
    logits = objective.opponent(output.states)
    cross = -(objective.prior * logits.log_softmax(dim=1)).sum(dim=1)
    (plain,) = torch.autograd.grad(targets.mean(cross), output.states)
    torch.testing.assert_close(given, 2 * plain)  # the opponent's own loss moves no state
    with torch.no_grad():
        for parameter in objective.opponent.parameters():
            parameter.zero_()
        objective.opponent[2].bias.copy_(objective.prior.log())
    guessed = objective.losses(output, targets, batch)
    torch.testing.assert_close(guessed["parity"], entropy)
    assert guessed["parity"].requires_grad and abs(objective.logs(output, targets, batch)["told"]) < 1


def test_the_opponents_parameters_learn_nothing_from_the_parity_loss():
    objective = made(ParityConfig(game="prior"))
    output, targets, batch = drawn()
    parity = objective.losses(output, targets, batch)["parity"]
    assert all(grad is None for grad in torch.autograd.grad(parity, list(objective.opponent.parameters()),
                                                            allow_unused=True))


@pytest.mark.parametrize("shuffled", [False, True])
def test_what_states_tell_is_logged_and_of_shuffled_groups_it_is_nothing(shuffled):
    random = np.random.default_rng(0)
    code = random.permutation(np.repeat(np.array([0, 1], np.int16), 12))
    batch, targets = tiny_batch(n_rows=24, dtype=torch.float64)
    batch = replace(batch, users=torch.arange(24))
    objective = made(ParityConfig(), code)
    optimizer = torch.optim.Adam(objective.opponent.parameters(), lr=0.01)

    def fresh():
        states = random.normal(size=(len(targets), 5))
        group = random.integers(0, 2, len(targets)) if shuffled else code[targets.row.numpy()]
        states[:, 0] = group * 4.0 - 2
        return Seen(torch.from_numpy(states))

    for _ in range(150):
        optimizer.zero_grad()
        objective.losses(fresh(), targets, batch)["opponent"].backward()
        optimizer.step()
    known = np.mean([float(objective.logs(fresh(), targets, batch)["told"].detach()) for _ in range(20)])
    assert abs(known) < 0.05 if shuffled else known > 0.6  # of log 2, what there is to know


def test_a_batch_of_nobodys_group_is_no_loss_and_no_nan():
    nobody = np.full(24, -1, np.int16)
    nobody[20:] = [0, 1, 0, 1]
    objective = made(ParityConfig(), nobody)
    output, targets, batch = drawn()
    batch = replace(batch, users=torch.zeros_like(batch.users))
    loss = objective.losses(output, targets, batch)["opponent"]
    (grad,) = torch.autograd.grad(loss, output.states)
    assert loss == 0 and not grad.any() and objective.logs(output, targets, batch)["told"] == 0


def test_the_group_is_what_the_data_must_have():
    assert SPEC.resolve("needs", ParityConfig(group="age")).user_groups == {"age"}
