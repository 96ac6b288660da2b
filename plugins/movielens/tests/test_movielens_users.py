"""What is told of users: the published files by their sizes, both forms of line by hand, and what is refused."""

import pytest
from benchbase_movielens import benchbase_datasets
from benchbase_movielens.users import table_of_users

from benchbase.errors import DataError
from benchbase.testing.files import reader


@pytest.fixture
def read(tmp_path):
    return reader(benchbase_datasets(), tmp_path)


def told(line, coded):
    table = table_of_users([line], coded)
    return table.ids.tolist(), {name: values.tolist() for name, values in table.columns.items()}


def test_both_forms_say_the_same():
    coded = told("7::F::25::20::55117", True)
    assert coded == told("7|34|F|writer|55117\n", False)
    assert coded == ([7], {"gender": ["F"], "age": ["25-34"], "occupation": ["writer"]})


@pytest.mark.parametrize(("age", "label"), [("7", "under 18"), ("17", "under 18"), ("18", "18-24"), ("55", "50-55"),
                                            ("56", "56 and over"), ("73", "56 and over"), ("0", "under 18")])
def test_ages_in_years(age, label):
    assert told(f"1|{age}|M|other|0", False)[1]["age"] == [label]


@pytest.mark.parametrize("line", ["1::F::1::10", "1::X::1::10::0", "1::F::old::10::0", "1::F::1::21::0",
                                  "x::F::1::1::0", "1::F::1::-1::0", ""])
def test_lines_of_another_form_are_no_users(line):
    with pytest.raises((ValueError, IndexError)):
        table_of_users([line], True)


def test_ml_100k(read, real_data):
    made = read("ml_100k", path=real_data("ml-100k"), user_groups=["gender", "age", "occupation"])
    sizes = {name: dict(zip(each.labels, each.sizes.tolist(), strict=True)) for name, each in made.groups.items()}
    assert sizes["gender"] == {"F": 273, "M": 670} and sum(sizes["age"].values()) == 943
    assert sizes["occupation"]["student"] == 196 and len(sizes["occupation"]) == 21


def test_ml_1m_in_order(read, real_data):
    made = read("ml_1m_ordered", path=str(real_data("ml-1m")), sequences=str(real_data("ml-1m") / "sasrec"),
                user_groups="gender")
    assert made.groups["gender"].sizes.tolist() == [1709, 4331]
    bare = read("ml_1m_ordered", path=str(real_data("ml-1m")), sequences=str(real_data("ml-1m") / "sasrec"))
    assert bare.hash == "3568c8e7b86d74e7decc78238d2331173757e71ac52db6e4a41c1891df3b4869"  # of older records


def test_a_release_that_tells_nothing_of_users_says_so(read, real_data):
    with pytest.raises(DataError, match=r"user_groups: nothing is known of its users\. Expected a data set that tells"):
        read("ml_latest_small", path=real_data("ml-latest-small"), user_groups="gender")


def test_a_damaged_file_names_itself(read, real_data, tmp_path):
    for name in ("u.data", "u.item", "u.genre"):
        (tmp_path / name).write_bytes((real_data("ml-100k") / name).read_bytes())
    (tmp_path / "u.user").write_text("1|24|M|technician\n")
    with pytest.raises(DataError, match=r"u\.user: no user file of ml_100k \(.*\)\. Expected an id, gender, age"):
        read("ml_100k", path=tmp_path, user_groups="gender")
