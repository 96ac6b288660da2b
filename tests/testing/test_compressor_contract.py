"""The contract of compressors catches every way to break one of its rules."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchbase.nn import Plan, PrefixTokens
from benchbase.specs import CompressorSpec, Needs
from benchbase.testing.contracts import CompressorContract, violations
from benchbase.testing.probes import Recent, TokensConfig


class Mutant(Recent):
    """A compressor that is right: each token the mean of a few older items."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.weight = nn.Parameter(torch.ones(context.width))

    def encode(self, plan, embed):
        made = super().encode(plan, embed)
        return replace(made, x=made.x * self.weight)


class Restless(Mutant):
    """Another plan each time."""

    calls = 0

    def plan(self, history, window, budget):
        Restless.calls += 1
        plan = super().plan(history, window, budget)
        return replace(plan, arrays={"items": np.where(plan.arrays["items"] > 0, 1 + Restless.calls % 7, 0)})


class Rewrites(Mutant):
    """Changes the history it is given."""

    def plan(self, history, window, budget):
        plan = super().plan(history, window, budget)
        history.item[:] = 1
        return plan


class Greedy(Mutant):
    """Lets more events give way than there are."""

    def plan(self, history, window, budget):
        plan = super().plan(history, window, budget)
        return replace(plan, displaced=np.where(plan.tokens > 0, window.lengths + 1, 0))


class Sociable(Mutant):
    """As many tokens as the longest history of the batch allows."""

    def plan(self, history, window, budget):
        plan = super().plan(history, window, budget)
        return replace(plan, tokens=np.where(plan.tokens > 0, plan.tokens.max(), 0))


class Ragged(Mutant):
    """Arrays as wide as the batch needs."""

    def plan(self, history, window, budget):
        plan = super().plan(history, window, budget)
        return replace(plan, latest=plan.latest[:, : plan.tokens.max(initial=0)])


class Always(Mutant):
    """A token even where there is no history."""

    def plan(self, history, window, budget):
        plan = super().plan(history, window, budget)
        return replace(plan, tokens=np.maximum(plan.tokens, 1))


class Shortens(Mutant):
    """Lets an event give way where there is no history."""

    def plan(self, history, window, budget):
        plan = super().plan(history, window, budget)
        return replace(plan, displaced=np.maximum(plan.displaced, 1))


class Timeless(Mutant):
    """Tokens of no time."""

    def plan(self, history, window, budget):
        plan = super().plan(history, window, budget)
        return replace(plan, latest=np.zeros_like(plan.latest))


class Peeks(Mutant):
    """Reads the newest event of the window."""

    def plan(self, history, window, budget):
        plan = super().plan(history, window, budget)
        last = np.append(window.item, 0)[window.offsets[1:] - 1]
        items = plan.arrays["items"].copy()
        items[:, :1, 0] = np.where(plan.tokens > 0, last, 0)[:, None]
        return replace(plan, arrays={"items": items})


class Wide(Mutant):
    """More tokens than the plan has."""

    def encode(self, plan, embed):
        made = super().encode(plan, embed)
        x = torch.cat([made.x, made.x[:, -1:]], dim=1)
        return PrefixTokens(x, torch.cat([made.valid, made.valid[:, -1:]], dim=1),
                            torch.cat([made.timestamp, made.timestamp[:, -1:]], dim=1))


class Endless(Mutant):
    """Not a number."""

    def encode(self, plan, embed):
        made = super().encode(plan, embed)
        return replace(made, x=made.x / 0)


class Unmasked(Mutant):
    """Tokens of no row are valid too."""

    def encode(self, plan, embed):
        return replace(super().encode(plan, embed), valid=None)


class Dated(Mutant):
    """Times of their own."""

    def encode(self, plan, embed):
        return replace(super().encode(plan, embed), timestamp=plan.latest + 1)


class Mixed(Mutant):
    """Tokens that know other rows."""

    def encode(self, plan, embed):
        made = super().encode(plan, embed)
        return replace(made, x=made.x + made.x.mean(dim=0, keepdim=True))


class Deaf(Mutant):
    """Tokens without history in them."""

    def encode(self, plan, embed):
        made = super().encode(plan, embed)
        return replace(made, x=torch.ones_like(made.x) * self.weight)


class Noisy(Mutant):
    """Draws from the global generator."""

    def encode(self, plan, embed):
        made = super().encode(plan, embed)
        return replace(made, x=made.x + torch.rand_like(made.x))


class Idle(Mutant):
    """A parameter that nobody uses."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.idle = nn.Parameter(torch.ones(3))


class Forgets(Mutant):
    """What it has drawn stands in no state_dict."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.shift = torch.randn(context.width, dtype=torch.float64)

    def encode(self, plan, embed):
        made = super().encode(plan, embed)
        return replace(made, x=made.x + self.shift)


class Asks(TokensConfig):
    """Parameters that cannot be written down."""

    def model_post_init(self, context):
        if "strength" in self.model_fields_set:
            raise ValueError("strength means nothing here")


def broken(build, config=TokensConfig, **changes):
    spec = CompressorSpec(name="mutant", config=config, build=build, source="here", **changes)
    found = violations(type("Checked", (CompressorContract,), {"spec": spec}))
    return {name.removeprefix("test_") for name in found}


MUTANTS = [
    (Restless, "a_plan_has_the_form_of_plans_and_is_pure"),
    (Rewrites, "a_plan_has_the_form_of_plans_and_is_pure"),
    (Greedy, "a_plan_has_the_form_of_plans_and_is_pure"),
    (Ragged, "a_row_has_the_same_plan_whatever_stands_beside_it"),
    (Sociable, "a_row_has_the_same_plan_whatever_stands_beside_it"),
    (Always, "without_history_nothing_stands_before_and_nothing_gives_way"),
    (Shortens, "without_history_nothing_stands_before_and_nothing_gives_way"),
    (Always, "without_history_it_is_the_plain_model"),
    (Timeless, "a_token_is_as_old_as_the_newest_event_it_uses"),
    (Peeks, "a_plan_does_not_depend_on_events_that_are_kept"),
    (Wide, "tokens_have_the_form_of_the_plan"),
    (Endless, "tokens_have_the_form_of_the_plan"),
    (Unmasked, "tokens_have_the_form_of_the_plan"),
    (Dated, "tokens_have_the_form_of_the_plan"),
    (Mixed, "rows_are_as_if_alone"),
    (Deaf, "history_has_an_effect"),
    (Noisy, "it_draws_from_no_global_generator"),
    (Idle, "gradients_reach_every_parameter"),
    (Forgets, "a_state_dict_restores_it"),
]


def test_a_compressor_that_is_right_breaks_no_rule():
    assert broken(Mutant) == set()


@pytest.mark.parametrize(("mutant", "rule"), MUTANTS, ids=lambda each: getattr(each, "__name__", each))
def test_a_mutant_is_caught(mutant, rule):
    assert rule in broken(mutant)


def test_parameters_that_cannot_be_written_down_are_caught():
    assert "parameters_written_down_are_the_same_parameters" in broken(Mutant, Asks)


def test_one_that_fits_no_backbone_is_caught():
    assert "it_fits_a_backbone" in broken(Mutant, needs=Needs(attention=frozenset({"none"})))


def test_every_rule_is_broken_by_a_mutant():
    rules = {name.removeprefix("test_") for name in dir(CompressorContract) if name.startswith("test_")}
    caught = {rule for _, rule in MUTANTS}
    assert rules - caught == {"parameters_written_down_are_the_same_parameters", "it_fits_a_backbone"}


def test_one_without_tokens_need_have_no_effect():
    class Silent(Recent):
        def plan(self, history, window, budget):
            none = np.zeros(history.n_rows, np.int64)
            return Plan(none, none, np.zeros((history.n_rows, 0), np.int64),
                        {"items": np.zeros((history.n_rows, 0, self.EACH), np.int64)})

        def __init__(self, config, context):
            super().__init__(config, context)
            self.max_tokens = 0

    assert broken(Silent) == set()
