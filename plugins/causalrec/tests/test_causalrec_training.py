"""Whole trainings: the multipliers follow their schedule, a run that was stopped goes on with the same trace."""

import pytest
from benchbase_causalrec import benchbase_modifiers, benchbase_objectives
from benchbase_causalrec.dual import Dual

from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_softmax
from benchbase.train import fit

boost, = benchbase_modifiers()
dag, = benchbase_objectives()
EPOCHS = 5


def experiment(backbone, epochs=EPOCHS, **parameters):
    return make_experiment((backbone, {"n_layers": 2, "dropout": 0.1}), modifiers=[(boost, parameters)],
                           objectives=[tiny_softmax, dag], train={"epochs": epochs, "patience": 0})


def trace(curve):
    """(rho, beta, h) of every epoch."""
    found = {name: [value for _, each, value in curve if each == f"train.causal_dag.{name}"]
             for name in ("rho", "beta", "h")}
    return list(zip(*found.values(), strict=True))


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional, tiny_pointwise], ids=lambda spec: spec.name)
def test_the_multipliers_of_a_run_follow_from_its_h(backbone):
    found = trace(fit(experiment(backbone)).curve)
    assert len(found) == EPOCHS
    dual = Dual(1.0, 0.0)
    for rho, beta, h in found:
        assert (rho, beta) == pytest.approx((float(dual.rho), float(dual.beta)), rel=1e-9)
        dual.update(h)


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
    """Ten times the epochs of the other tests; without the penalty h stays."""
    weak, strong = (make_experiment(
        tiny_causal, modifiers=[boost], objectives=[tiny_softmax, (dag, {"rho": rho, "sparsity": 0.0})],
        train={"epochs": 30, "patience": 0, "lr": 0.01}) for rho in (1e-12, 10.0))
    falls = [[h for _, _, h in trace(fit(each).curve)] for each in (weak, strong)]
    assert falls[1][-1] < 0.5 * falls[0][-1] and falls[1][-1] < 0.5 * falls[1][0]
