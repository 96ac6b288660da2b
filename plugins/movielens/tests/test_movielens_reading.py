"""Reading: every official format, on the real files where they are at hand."""

import gzip
import shutil

import numpy as np
import pytest
from benchbase_movielens import benchbase_datasets
from benchbase_movielens.config import MovieLensConfig

from benchbase.data import MissingFile
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract
from benchbase.testing.files import reader

SPECS = {spec.name: spec for spec in benchbase_datasets()}


@pytest.fixture
def read(tmp_path):
    return reader(SPECS.values(), tmp_path)


def genres(catalogue, film):
    item = catalogue.item_ids.tolist().index(film)
    kinds = catalogue.categories["genre"]
    return [kinds.labels[code] for code in kinds.of(item)]


def title(catalogue, film):
    return catalogue.columns["title"][catalogue.item_ids.tolist().index(film)]


def test_the_offered_data_sets():
    assert list(SPECS) == ["ml_100k", "ml_1m", "ml_10m", "ml_20m", "ml_25m", "ml_32m", "ml_latest_small",
                           "ml_actions", "ml_1m_ordered"]
    assert not any(spec.redistributable for spec in SPECS.values())


def test_ml_100k(read, real_data):
    found = read("ml_100k", path=real_data("ml-100k"))
    assert (found.card["users"], found.card["items"], found.card["events"]) == (943, 1682, 100_000)
    assert found.card["time_span"] == [874_724_710, 893_286_638]
    assert found.card["items_not_listed"] == 0
    assert found.catalogue.columns["year"].tolist().count(-1) == 2  # padding and the film called unknown
    assert title(found.catalogue, 543) == "Misérables, Les (1995)"
    assert genres(found.catalogue, 1) == ["Animation", "Children's", "Comedy"]
    assert genres(found.catalogue, 267) == []
    assert np.bincount(found.interactions.actions[:, 0].astype(int)).tolist() == [0, 6110, 11370, 27145, 34174, 21201]


def test_ml_1m_as_far_as_it_is_at_hand(read, real_data, tmp_path):
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    shutil.copy(real_data("ml-1m") / "ratings_first_1000_users.dat.gz", folder / "ratings.dat.gz")
    shutil.copy(real_data("ml-1m") / "movies.dat", folder)
    found = read("ml_1m")
    assert (found.card["users"], found.card["items"], found.card["events"]) == (1000, 3381, 155_177)
    assert found.card["listed_items_without_events"] == 3883 - 3381
    assert found.card["time_span"] == [975_040_566, 1_046_388_675]
    assert title(found.catalogue, 2762) == "Sixth Sense, The (1999)"
    assert genres(found.catalogue, 2762) == ["Thriller"]


def test_ml_latest_small(read, real_data):
    found = read("ml_latest_small", path=real_data("ml-latest-small"))
    assert (found.card["users"], found.card["items"], found.card["events"]) == (610, 9724, 100_836)
    assert found.card["time_span"] == [828_124_615, 1_537_799_250]
    assert title(found.catalogue, 11) == "American President, The (1995)"
    assert genres(found.catalogue, 1) == ["Adventure", "Animation", "Children", "Comedy", "Fantasy"]
    assert "(no genres listed)" not in found.catalogue.categories["genre"].labels


def test_heads_of_the_large_releases(read, real_data, tmp_path):
    source = real_data("ml-large-samples")
    for folder, sample, ratings, movies, text in (
        (
            "ml-10M100K",
            "ml-10m_sample.dat",
            "ratings.dat",
            "movies.dat",
            "122::Boomerang: A Film (1992)::Comedy|Romance\n",
        ),
        (
            "ml-25m",
            "ml-25m_sample.csv",
            "ratings.csv",
            "movies.csv",
            'movieId,title,genres\n296,"Pulp, Fiction (1994)",Crime\n',
        ),
    ):
        (tmp_path / folder).mkdir()
        shutil.copy(source / sample, tmp_path / folder / ratings)
        (tmp_path / folder / movies).write_text(text)
    ten, large = read("ml_10m"), read("ml_25m")
    assert (ten.card["users"], ten.card["items"], ten.card["events"]) == (84, 2976, 10_000)
    assert (large.card["users"], large.card["items"], large.card["events"]) == (75, 3287, 9999)
    assert (title(ten.catalogue, 122), title(large.catalogue, 296)) == (
        "Boomerang: A Film (1992)",
        "Pulp, Fiction (1994)",
    )
    assert set(np.unique(large.interactions.actions)) == set(np.arange(0.5, 5.5, 0.5, dtype=np.float32))
    assert large.card["items_not_listed"] == 3286


@pytest.fixture
def small(tmp_path):
    """A tiny ml-20m in place."""
    folder = tmp_path / "ml-20m"
    folder.mkdir()
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,5,3.5,9\n1,6,4.0,8\n2,5,1.0,7\n")
    (folder / "movies.csv").write_text("movieId,title,genres\n5,Once (2000-2003),(no genres listed)\n6,Twice,Drama\n")
    return folder


def test_years_are_parsed_from_the_end_of_titles(read, small):
    titles = ["Once (2000-2003)", "1984 (1984) ", "(500) Days of Summer (2009)", "Room (2) ", "Land (1995) (V)"]
    text = "".join(f"{film},{name},Drama\n" for film, name in enumerate(titles, 5))
    (small / "movies.csv").write_text("movieId,title,genres\n" + text)
    (small / "ratings.csv").write_text("h\n" + "".join(f"1,{film},3,{film}\n" for film in (5, 6, 7, 8, 9)))
    assert read("ml_20m").catalogue.columns["year"].tolist() == [-1, 2000, 1984, 2009, -1, 1995]


def test_low_ratings_are_left_out_and_counted(read, small):
    found = read("ml_20m", min_rating=3.5)
    assert found.card["removed"] == {"ratings below 3.5": 1}
    assert found.interactions.actions.tolist() == [[4.0], [3.5]]
    with pytest.raises(ValueError, match="less than or equal to 5"):
        MovieLensConfig(min_rating=6)


def test_the_order_of_lines_means_nothing(read, small, tmp_path):
    lines = [f"1,{film},3.0,9" for film in range(40)]
    hashes = []
    for order in (lines, lines[::-1]):
        (small / "ratings.csv").write_text("h\n" + "\n".join(order))
        found = read("ml_20m")
        hashes.append(found.hash)
    assert hashes[0] == hashes[1]
    assert found.catalogue.item_ids[found.interactions.item].tolist() not in (list(range(40)), list(range(40))[::-1])


@pytest.mark.parametrize("content", ["h\n1,2,good,4\n", "h\n1,2\n", ""])
def test_files_that_are_no_ratings_are_refused(read, small, content):
    (small / "ratings.csv").write_text(content)
    with pytest.raises(
        DataError, match=r"ratings\.csv: no rating file of ml_20m .*Expected lines `user,item,rating,time`\."
    ):
        read("ml_20m")


@pytest.mark.parametrize("content", [b"movieId,title,genres\nx,A,B\n", b"h\n1,A\n", b"h\n1,\xe9,B\n", b"h\n"])
def test_files_that_are_no_films_are_refused(read, small, content):
    (small / "movies.csv").write_bytes(content)
    with pytest.raises(
        DataError, match=r"movies\.csv: no film file of ml_20m .*Expected an id, a title and genres a line"
    ):
        read("ml_20m")


def damaged(packed):
    """A packed file cut short at several places, and with one bit changed at several others."""
    for at in (0, 1, 5, 11, len(packed) // 2, len(packed) - 9, len(packed) - 1):
        yield packed[:at]
    for at in range(0, len(packed), 3):
        yield packed[:at] + bytes([packed[at] ^ 16]) + packed[at + 1 :]


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_a_damaged_packed_file_is_an_error_that_names_it_or_does_no_harm(read, small, name):
    text = (small / name).read_bytes()
    (small / name).unlink()
    hurt, whole = 0, None
    for packed in (gzip.compress(text), *damaged(gzip.compress(text))):
        (small / f"{name}.gz").write_bytes(packed)
        try:
            found = read("ml_20m").hash
        except DataError as error:
            assert f"{name}.gz: " in str(error)
            hurt += 1
        else:
            assert found == (whole := whole or found)
    assert whole is not None and hurt > len(text) // 6


def test_a_missing_file_says_where_it_was_looked_for(read, small, tmp_path):
    (small / "movies.csv").unlink()
    with pytest.raises(MissingFile, match=r"^ml-20m: no folder holds all files\. .*ml-20m lacks movies\.csv\."):
        read("ml_20m", path="ml-20m")
    with pytest.raises(MissingFile, match=r"^ml-1m: no such folder\. Looked for"):
        read("ml_1m", path="ml-1m")


def test_packed_files_are_found(read, small):
    with gzip.open(small / "ratings.csv.gz", "wb") as stream:
        stream.write((small / "ratings.csv").read_bytes())
    (small / "ratings.csv").unlink()
    assert read("ml_20m").card["events"] == 3


def test_ratings_as_actions(read, tmp_path):
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    ratings = [(1, 10, 5, 100), (1, 20, 2, 200), (1, 30, 3, 200), (2, 10, 4, 300)]
    (folder / "ratings.dat").write_text("".join("::".join(map(str, row)) + "\n" for row in ratings))
    (folder / "movies.dat").write_text("".join(f"{film}::A (1990)::Drama\n" for film in (10, 20, 30)))
    found = read("ml_actions")
    log = found.interactions
    assert log.action_names == log.label_names == ("at_least_3", "at_least_4", "is_5")
    rows = {(user, int(found.catalogue.item_ids[item])): row for row, (user, item) in enumerate(
        zip(np.repeat(log.user_ids, np.diff(log.offsets)).tolist(), log.item, strict=True))}
    assert {key: log.actions[row].tolist() for key, row in rows.items()} == {
        (1, 10): [1, 1, 1], (1, 20): [0, 0, 0], (1, 30): [1, 0, 0], (2, 10): [1, 1, 0]}
    counts = {name: np.expm1(log.features[:, place]) for place, name in enumerate(log.feature_names)}
    assert counts["user_events"][rows[1, 20]] == counts["user_events"][rows[1, 30]] == pytest.approx(1)  # one second
    assert counts["item_is_5"][rows[2, 10]] == pytest.approx(1) and counts["user_is_5"][rows[2, 10]] == 0
    assert read("ml_actions", counts=False).interactions.feature_names == ()


@pytest.mark.parametrize("release", ["100k", "latest_small"])
def test_actions_of_a_real_release(read, real_data, release):
    folder = real_data({"100k": "ml-100k", "latest_small": "ml-latest-small"}[release])
    plain, found = read(f"ml_{release}", path=folder), read("ml_actions", release=release, path=folder)
    rating, actions = plain.interactions.actions[:, 0], found.interactions.actions
    np.testing.assert_array_equal(found.interactions.item, plain.interactions.item)
    np.testing.assert_array_equal(actions, np.stack([rating >= 3, rating >= 4, rating == 5], axis=1))


def test_actions_are_fetched_like_their_release(read, tmp_path):
    with pytest.raises(DataError, match=r"ml-32m"):
        read("ml_actions", release="32m")


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """A release for the contracts."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        (place / "ml-1m").mkdir()
        (place / "ml-1m" / "ratings.dat").write_text(
            "1::10::5::100\n1::20::2::200\n1::30::3::200\n2::10::4::300\n2::20::1::50\n")
        (place / "ml-1m" / "movies.dat").write_text("10::A (1990)::Drama\n20::B::Comedy|Drama\n")
        request.cls.folders = (place,)


class TestRatings(DatasetContract):
    spec = SPECS["ml_1m"]


class TestActions(DatasetContract):
    spec = SPECS["ml_actions"]
