"""ML-1M in the order of SASRec's file: events, ids of the release, genres and ratings of each."""

import gzip

import numpy as np
import pytest
from benchbase_movielens import benchbase_datasets

from benchbase.data import MissingFile
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract
from benchbase.testing.files import reader

SPECS = {spec.name: spec for spec in benchbase_datasets()}
FILES = {
    "ml-1m/movies.dat": "10::Alien (1979)::Horror|Sci-Fi\n20::Big (1988)::Comedy\n30::Cure (1997)::Horror\n",
    "ml-1m/ratings_no_timestamp.dat": "7::10::5\n7::20::3\n8::30::4\n8::10::1\n9::20::2\n",
    "ml-1m/sasrec/ml-1m.txt": "1 2\n1 1\n2 1\n2 3\n",
    "ml-1m/sasrec/sas_to_original_users.txt": "1 7\n2 8\n",
    "ml-1m/sasrec/sas_to_original_items.txt": "1 10\n2 20\n3 30\n",
}


@pytest.fixture
def read(tmp_path):
    return reader(SPECS.values(), tmp_path)


@pytest.fixture
def write(tmp_path):
    """Write the files, some of them otherwise, or not at all (None)."""
    def written(**changes):
        for name, text in (FILES | {name.replace("__", "/"): text for name, text in changes.items()}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is not None:
                path.write_text(text)

    return written


def facts(found):
    """(user, film, rating) of every event in order."""
    events, catalogue = found.interactions, found.catalogue
    users = np.repeat(events.user_ids, np.diff(events.offsets))
    return list(zip(users.tolist(), catalogue.item_ids[events.item].tolist(), events.actions[:, 0].tolist(),
                    strict=True))


def test_events_keep_their_order_and_have_the_ids_and_ratings_of_the_release(read, write):
    write()
    found = read("ml_1m_ordered")
    assert facts(found) == [(7, 20, 3.0), (7, 10, 5.0), (8, 10, 1.0), (8, 30, 4.0)]
    assert not found.catalogue.has_time and found.interactions.action_names == ("rating",)
    genres = found.catalogue.categories["genre"]
    assert [[genres.labels[code] for code in genres.of(item)] for item in (1, 2, 3)] == [
        ["Horror", "Sci-Fi"], ["Comedy"], ["Horror"]]
    assert found.catalogue.columns["title"].tolist()[1:] == ["Alien (1979)", "Big (1988)", "Cure (1997)"]


def test_ratings_with_times_and_packed_files_do_as_well(read, write, tmp_path):
    write(**{"ml-1m/ratings_no_timestamp.dat": None, "ml-1m/sasrec/ml-1m.txt": None,
             "ml-1m/ratings.dat": "7::10::5::100\n7::20::3::99\n8::30::4::102\n8::10::1::101\n"})
    with gzip.open(tmp_path / "ml-1m/sasrec/ml-1m.txt.gz", "wt") as stream:
        stream.write(FILES["ml-1m/sasrec/ml-1m.txt"])
    assert facts(read("ml_1m_ordered")) == [(7, 20, 3.0), (7, 10, 5.0), (8, 10, 1.0), (8, 30, 4.0)]


@pytest.mark.parametrize(("name", "text", "told"), [
    ("ml-1m/ratings_no_timestamp.dat", "7::10::5\n7::20::3\n8::10::1\n",
     r"no rating of film 30 by user 8, which .*ml-1m\.txt has\. Expected the ratings that its sequences were made of"),
    ("ml-1m/sasrec/sas_to_original_users.txt", "1 7\n", r"no line for id 2 of the sequences\. Expected a line"),
    ("ml-1m/sasrec/sas_to_original_items.txt", "1 10\n3 30\n", r"no line for id 2 of the sequences\. Expected a line"),
    ("ml-1m/sasrec/ml-1m.txt", "1 2\n1 one\n", r"no file of whole numbers .*\. Expected lines `user item`"),
    ("ml-1m/sasrec/ml-1m.txt", "1\n2\n", r"no file of whole numbers .*\. Expected lines `user item`"),
    ("ml-1m/ratings_no_timestamp.dat", "7::10\n", r"no file of whole numbers .*\. Expected lines `user::item::rating`"),
    ("ml-1m/movies.dat", "", r"no film file of ml_1m"),
])
def test_files_that_are_not_of_one_another_are_refused(read, write, name, text, told):
    write(**{name: text})
    with pytest.raises(DataError, match=told):
        read("ml_1m_ordered")


@pytest.mark.parametrize(("gone", "told"), [
    ("ml-1m/sasrec/sas_to_original_items.txt", r"sasrec: no folder holds all files\. .* lacks sas_to_original_items"),
    ("ml-1m/movies.dat", r"ml-1m/movies\.dat: no such file"),
    ("ml-1m/ratings_no_timestamp.dat", r"ratings\.dat: no such file"),
])
def test_what_is_missing_is_named(read, write, gone, told):
    write(**{gone: None})
    with pytest.raises(MissingFile, match=told):
        read("ml_1m_ordered")


def test_the_real_files(read, real_data):
    folder = real_data("ml-1m")
    found = read("ml_1m_ordered", path=str(folder), sequences=str(folder / "sasrec"))
    assert (found.card["users"], found.card["items"], found.card["events"]) == (6040, 3416, 999_611)
    assert len(found.catalogue.categories["genre"].labels) == 18
    ratings = np.bincount(found.interactions.actions[:, 0].astype(int))
    assert ratings[0] == 0 and ratings.sum() == 999_611
    assert (ratings[1:] <= [56_174, 107_557, 261_197, 348_971, 226_310]).all()  # those of the release


class TestOrdered(DatasetContract):
    spec = SPECS["ml_1m_ordered"]

    @pytest.fixture(autouse=True)
    def _files(self, write, tmp_path):
        write()
        type(self).folders = (tmp_path,)
