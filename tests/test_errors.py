"""Errors a user can meet."""

import pickle

import pytest

from benchbase import errors
from benchbase.errors import BenchbaseError, ConfigError, RunError, nearest


def test_a_config_error_keeps_every_problem():
    error = ConfigError(f"problem {i}" for i in range(3))
    assert error.problems == ("problem 0", "problem 1", "problem 2")
    assert str(error) == "problem 0\nproblem 1\nproblem 2"


def test_a_run_error_says_how_its_record_is_marked():
    assert RunError("no").status == "failed"
    error = RunError("loss is not finite", status="diverged")
    assert (error.status, str(error)) == ("diverged", "loss is not finite")


@pytest.mark.parametrize("error", [ConfigError(["a", "b"]), RunError("no", "timeout"), BenchbaseError("x")])
def test_errors_are_the_same_in_another_process(error):
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("name", ["ConfigError", "PluginError", "DataError", "Refusal", "RunError", "RecordError"])
def test_every_error_is_one_that_a_user_can_mend(name):
    assert issubclass(getattr(errors, name), BenchbaseError)


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("recensy", ["recency", "boost"], "Did you mean 'recency'? Parts: boost, recency."),
        ("x", ["recency", "boost", "boost"], "Parts: boost, recency."),
        ("x", [], "Parts: none."),
    ],
)
def test_the_nearest_name_and_all_known_ones(name, known, text):
    assert nearest(name, known, "Parts") == text


def test_all_names_are_called_known_by_default():
    assert nearest("x", iter(["b", "a"])) == "Known: a, b."
