"""The contract of explainers catches every way to break one of its rules."""

import numpy as np
import pytest
import torch

from benchbase.data import Explanation
from benchbase.specs import Config, ExplainerSpec, Needs
from benchbase.testing.contracts import ExplainerContract, violations
from benchbase.testing.tiny import Place, PlaceConfig, tiny_explainer


class TestPlace(ExplainerContract):
    spec = tiny_explainer


class TestFirst(ExplainerContract):
    spec = tiny_explainer
    config = PlaceConfig(place=0)


class All(Place):
    """Leaves nothing."""

    def explain(self, recommendation):
        return Explanation(tuple(range(len(recommendation.past))), "x")


class Borrowed(Place):
    """A category that the item may not have."""

    def explain(self, recommendation):
        return Explanation((0,), "x", (("genre", "a"), ("genre", "b"), ("genre", "c")))


class Gossip(Place):
    """Names an event that is no evidence."""

    def explain(self, recommendation):
        said = super().explain(recommendation)
        return Explanation(said.events, f"“{self.names.item(31 - int(recommendation.past[-1]))}”")


class Growing(Place):
    """Remembers whom it told."""

    told = 0

    def explain(self, recommendation):
        self.told += 1
        return Explanation((0,), f"For the {self.told}. time.")


class Drawn(Place):
    """Each has a taste of its own."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.taste = object()

    def explain(self, recommendation):
        return Explanation((0,), f"I am {id(self.taste)}.")


class Global(Place):
    """Draws words from everybody's generator."""

    def explain(self, recommendation):
        np.random.random()  # noqa: NPY002
        torch.rand(1)
        return super().explain(recommendation)


class Writing(Place):
    """Sorts the past where it lies."""

    def explain(self, recommendation):
        recommendation.past.sort()
        return super().explain(recommendation)


class Attending(Place):
    """Takes attention for granted."""

    def explain(self, recommendation):
        return Explanation((int(recommendation.attention.argmax()),), "x")


EVIDENCE = "evidence_is_some_of_the_events_and_features_are_those_of_the_item"
NAMED = "a_sentence_names_the_item_the_evidence_and_the_features_alone"
SAME = "the_same_recommendation_has_the_same_explanation"


@pytest.mark.parametrize(("build", "rule"), [
    (All, EVIDENCE), (Borrowed, EVIDENCE), (Writing, EVIDENCE), (Attending, EVIDENCE), (lambda *given: None, EVIDENCE),
    (Gossip, NAMED), (Growing, SAME), (Drawn, SAME), (Global, SAME),
])
def test_a_broken_explainer_is_caught(build, rule):
    spec = ExplainerSpec(name="broken", config=PlaceConfig, build=build, source="here")
    found = violations(type("Checked", (ExplainerContract,), {"spec": spec}), [f"test_{rule}"])
    assert set(found) == {f"test_{rule}"}


def test_one_that_needs_attention_has_it():
    spec = ExplainerSpec(name="attending", config=PlaceConfig, build=Attending, source="here",
                         needs=Needs(attention=frozenset({"softmax"})))
    assert not violations(type("Checked", (ExplainerContract,), {"spec": spec}))


def test_parameters_that_cannot_be_written_down_and_needless_refusals_are_caught():
    class Unwritable(Config):
        strength: float = 1.0

        def __init__(self, **given):
            if given:
                raise ValueError("strength means nothing here")
            super().__init__()

    rules = ["test_parameters_written_down_are_the_same_parameters", "test_it_does_not_refuse_what_it_is_built_with"]
    spec = ExplainerSpec(name="broken", config=Unwritable, build=Place, source="here",
                         refuse=lambda config, context: "broken: no.")
    assert set(violations(type("Checked", (ExplainerContract,), {"spec": spec}), rules)) == set(rules)
