"""The contracts that `benchbase.testing` asks of every modifier and objective, for every kind of relation."""

from dataclasses import replace
from typing import ClassVar

import pytest
from benchbase_causalrec import benchbase_modifiers, benchbase_objectives

from benchbase.testing.contracts import ModifierContract, ObjectiveContract
from benchbase.testing.world import tiny_context

boost, = benchbase_modifiers()
dag, = benchbase_objectives()


class TestCausalBoost(ModifierContract):
    spec = boost
    neutral: ClassVar = {"alpha": 0.0}
    objectives: ClassVar = [dag]


class TestRenormalised(TestCausalBoost):
    config: ClassVar = {"renormalise": True, "after": 2, "sign": "square"}


class TestBilinear(TestCausalBoost):
    config: ClassVar = {"r_source": "bilinear"}
    neutral: ClassVar = {"alpha": 0.0, "r_source": "bilinear"}


class TestCoefficients(TestCausalBoost):
    config: ClassVar = {"r_source": "sem", "max_nodes": 3}
    neutral: ClassVar = {"alpha": 0.0, "r_source": "sem"}


class TestSigned(TestCausalBoost):
    config: ClassVar = {"sign": "signed", "alpha": 2.0}
    neutral: ClassVar = {"alpha": 0.0, "sign": "signed"}


class TestPositive(TestCausalBoost):
    config: ClassVar = {"sign": "relu", "detach": True}


class TestFilter(ModifierContract):
    spec = boost
    config: ClassVar = {"variant": "filter", "threshold": 0.8}
    objectives: ClassVar = [dag]


class TestLooseFilter(TestFilter):
    config: ClassVar = {"variant": "filter", "threshold": 0.8, "renormalise": False}


class TestCausalDag(ObjectiveContract):
    spec = dag
    config: ClassVar = {"beta": 0.5}
    modifiers: ClassVar = [boost]


class TestDagOfADirection(TestCausalDag):
    modifiers: ClassVar = [(boost, {"r_source": "bilinear", "max_nodes": 3})]


class TestDagInTheOrderOfTime(TestCausalDag):
    modifiers: ClassVar = [(boost, {"r_source": "sem"})]


@pytest.mark.parametrize(("source", "expected"), [("cov", []), ("sem", []), ("bilinear", [("matrix", (8, 8))])])
def test_the_bilinear_matrix_is_the_only_parameter(source, expected):
    made = boost.build(boost.config(r_source=source), replace(tiny_context(), width=8, n_layers=2))
    assert [(name, tuple(parameter.shape)) for name, parameter in made.named_parameters()] == expected
