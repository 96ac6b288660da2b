"""Peak memory is of this process, and where the system allows it, of the stretch since it was reset."""

from pathlib import Path

import numpy as np
import pytest

from benchbase import memory
from benchbase.memory import peak_memory, reset_peak

SIZE = 256 * 2**20


def test_what_was_held_and_given_back_shows_in_the_peak():
    reset_peak()
    before = peak_memory()
    np.ones(SIZE, np.uint8)
    assert SIZE * 0.9 < peak_memory() - before < SIZE * 2


@pytest.mark.skipif(not memory._CLEAR.exists(), reason="this system knows the peak of the whole process only")
def test_a_reset_begins_anew():
    np.ones(SIZE, np.uint8)
    high = peak_memory()
    reset_peak()
    assert peak_memory() < high - SIZE / 2


def test_without_the_systems_files_it_is_the_peak_of_the_whole_process(monkeypatch):
    plain = peak_memory()
    monkeypatch.setattr(memory, "_STATUS", Path("/nowhere"))
    monkeypatch.setattr(memory, "_CLEAR", Path("/nowhere/at/all"))
    reset_peak()
    assert peak_memory() >= plain * 0.5 and peak_memory() > 10 * 2**20
