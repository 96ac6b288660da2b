"""Whole trainings: the multipliers follow their schedule, a run that was stopped goes on with the same trace."""

import pytest

from benchbase.registry import Registry
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_softmax
from benchbase.train import fit

pytestmark = pytest.mark.plugins
EPOCHS = 5


def parts():
    registry = Registry.load()
    return registry.get("modifier", "causal_boost"), registry.get("objective", "causal_dag")


def experiment(backbone, **parameters):
    boost, dag = parts()
    return make_experiment((backbone, {"n_layers": 2, "dropout": 0.1}), modifiers=[(boost, parameters)],
                           objectives=[tiny_softmax, dag], train={"epochs": EPOCHS, "patience": 0})


def trace(curve):
    """(rho, beta, h) of every epoch."""
    found = {name: [value for _, each, value in curve if each == f"train.causal_dag.{name}"]
             for name in ("rho", "beta", "h")}
    return list(zip(*found.values(), strict=True))


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional, tiny_pointwise], ids=lambda spec: spec.name)
def test_the_multipliers_of_a_run_follow_from_its_h(backbone):
    found = trace(fit(experiment(backbone)).curve)
    assert len(found) == EPOCHS
    expected, last = (1.0, 0.0), float("inf")
    for rho, beta, h in found:
        assert (rho, beta) == pytest.approx(expected, rel=1e-9)
        expected, last = (min(10 * rho, 1e6) if h > 0.25 * last else rho, beta + rho * h), h


class Stopped(Exception):
    pass


@pytest.mark.parametrize("source", ["cov", "bilinear", "sem"])
def test_a_run_that_is_stopped_goes_on_with_the_same_trace(tmp_path, source):
    whole = fit(experiment(tiny_causal, r_source=source), tmp_path / "whole")

    def stop(progress):
        if progress.epoch == 3:
            raise Stopped

    with pytest.raises(Stopped):
        fit(experiment(tiny_causal, r_source=source), tmp_path / "stopped", stop)
    again = fit(experiment(tiny_causal, r_source=source), tmp_path / "stopped")
    assert again.curve == whole.curve and trace(again.curve)


def test_the_penalty_makes_h_fall():
    """Without the penalty h stays."""
    boost, dag = parts()
    weak, strong = (make_experiment(
        tiny_causal, modifiers=[boost], objectives=[tiny_softmax, (dag, {"rho": rho, "sparsity": 0.0})],
        train={"epochs": 30, "patience": 0, "lr": 0.01}) for rho in (1e-12, 10.0))
    falls = [[h for _, _, h in trace(fit(each).curve)] for each in (weak, strong)]
    assert falls[1][-1] < 0.5 * falls[0][-1] and falls[1][-1] < 0.5 * falls[1][0]


@pytest.mark.parametrize("source", ["cov", "bilinear", "sem"])
def test_in_bfloat16_the_relation_stays_wide_and_the_run_finite(source):
    boost, dag = parts()
    narrow, wide = (fit(make_experiment(
        (tiny_causal, {"n_layers": 2}), modifiers=[(boost, {"r_source": source})], objectives=[tiny_softmax, dag],
        train={"epochs": 2, "patience": 0, "precision": precision})) for precision in ("bfloat16", "float32"))
    assert len(trace(narrow.curve)) == 2
    for (_, name, one), (_, _, other) in zip(narrow.curve, wide.curve, strict=True):
        if name.startswith("train.causal_dag"):
            assert one == pytest.approx(other, rel=0.1, abs=1e-6), name
