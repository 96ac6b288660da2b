"""What items are called in sentences, and what sentences may not name."""

import numpy as np
import pytest

from benchbase.data import Catalogue, Categories, Names, quoted


def catalogue(**columns):
    genre = Categories(np.array([0, 0, 2, 3, 3, 3]), np.array([0, 1, 1], np.int32), ("Drama", "Film “Noir”"))
    return Catalogue(np.array(["", "a", "b", "c", "d"]), True, categories={"genre": genre},
                     columns={name: np.array(["", *values]) for name, values in columns.items()})


TITLED = Names(catalogue(title=["Heat (1995)", "The “Big” Heat", "", "Heat and Dust (1983)"], name=["x"] * 4))


def test_names_are_titles_where_there_are_and_ids_where_not():
    assert [TITLED.item(item) for item in (1, 2, 3, 4)] == [
        "Heat (1995)", 'The "Big" Heat', "c", "Heat and Dust (1983)"]
    assert [Names(catalogue()).item(item) for item in (1, 4)] == ["a", "d"]
    assert Names(catalogue(name=["one", "two", "three", "four\n  and more"])).item(4) == "four and more"
    assert TITLED.labels(1) == [("genre", "Drama"), ("genre", "Film “Noir”")] and TITLED.labels(3) == []
    assert TITLED.known >= {"c", "Drama", 'Film "Noir"', "Heat (1995)"} and TITLED.most_words == 4
    odd = ["a\u200db", "\x92", "Zebra\x92s\u00a0 \u200e x", "\u2028one\ttwo"]
    assert [Names(catalogue(title=odd)).item(item) for item in (1, 2, 3, 4)] == ["ab", "b", "Zebras x", "one two"]
    assert quoted("The “Big”\nHeat") == '“The "Big" Heat”'


@pytest.mark.parametrize(("text", "found"), [
    ("“Heat (1995)” because of “c”.", []),
    ("“Heat (1995)” because of “d”.", ["d"]),
    ("“Heat (1995)” because of “Heat”.", ["Heat"]),
    ("Heat (1995), since you chose c and c.", []),
    ("“Heat (1995)” and then Heat and Dust (1983)", ["Heat and Dust (1983)"]),
    ("Heat and Dust (1983), Heat (1995)", ["Heat and Dust (1983)"]),
    ("A Drama about d: single words may be words of a sentence", []),
    ('It is Film "Noir" as well', ['Film "Noir"']),
    ("“Heat (1995) is not closed", ["“Heat (1995) is not closed"]),
    ("“c” ” opens nothing", [". ” opens nothing"]),
    ("", []),
])
def test_strangers(text, found):
    assert TITLED.strangers(text, ["Heat (1995)", "c"]) == found


def test_a_label_with_quotes_is_allowed_as_it_is_written():
    assert TITLED.strangers(f"it is {quoted('Film “Noir”')}", ["Film “Noir”"]) == []
