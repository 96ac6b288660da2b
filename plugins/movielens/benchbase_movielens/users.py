"""What the early releases tell of their users: gender, age and occupation, the same words for both."""

from collections.abc import Iterable

import numpy as np

from benchbase.data import UserTable

AGES = {1: "under 18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-49", 50: "50-55", 56: "56 and over"}
"""By the least age: the code of ML-1M. ML-100K has ages in years."""

OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)
"""By the code of ML-1M; ML-100K has its own words."""


def table_of_users(lines: Iterable[str], coded: bool) -> UserTable:
    """The users of `id::gender::age::occupation::zip` lines, coded as in ML-1M, or of `id|age|gender|occupation|zip`.

    Errors: `ValueError` or `IndexError` for lines of another form.
    """
    ids, columns = [], []
    for line in lines:
        if not (line := line.strip()):
            continue
        if coded:
            user, gender, age, occupation, _ = line.split("::")
            occupation = OCCUPATIONS[_code(occupation)]
        else:
            user, age, gender, occupation, _ = line.split("|")
        if gender not in ("F", "M"):
            raise ValueError(f"gender is {gender!r:.20}")
        ids.append(int(user))
        columns.append((gender, AGES[max(least for least in AGES if least <= max(_code(age), 1))], occupation))
    if not ids:
        raise ValueError("no line holds a user")
    named = zip(("gender", "age", "occupation"), zip(*columns, strict=True), strict=True)
    return UserTable(np.array(ids, np.int64), {name: np.array(column, object) for name, column in named})


def _code(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ValueError(f"{text!r:.20} is no whole number")
    return int(text)
