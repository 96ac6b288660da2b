"""What is read of the official files, and every way in which they may be wrong."""

import csv
import gzip
import io
import math
import re
from collections import defaultdict

import numpy as np
import pytest
from benchbase_kuairand import benchbase_datasets
from benchbase_kuairand.config import ClicksConfig, KuaiRandConfig
from benchbase_kuairand.reading import LOG, USERS, VIDEOS

from benchbase.data import MissingFile, split, table
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract

EARLY, LATE = "log_standard_4_08_to_4_21_pure.csv", "log_standard_4_22_to_5_08_pure.csv"
RANDOM, FILMS = "log_random_4_22_to_5_08_pure.csv", "video_features_basic_pure.csv"
START = 1_650_000_000_000

FLAGS = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view")


def line(user, video, time, **given):
    row = {**dict.fromkeys(LOG.columns, 0), "user_id": user, "video_id": video, "date": 20220425, "hourmin": 1800,
           "time_ms": START + time, "duration_ms": 9_000, "tab": 1, **given}
    return ",".join(str(row[name]) for name in LOG.columns)


FILM_LINES = [
    '7,70,NORMAL,2022-04-10,LongImport,0.0,87433.0,720.0,1280.0,9155697141,9.0,"20,43"',
    "8,80,AD,2022-04-10,UNKNOWN,0.0,,720.0,1280.0,0,,",
    "9,70,UNKNOWN,2022-04-09,Web,0.0,1000,720.0,1280.0,6618412736,4,39",
]


def put(folder, name, lines, columns=None, end="\n"):
    head = ",".join(columns or (VIDEOS if name == FILMS else LOG).columns)
    text = "".join(each + end for each in [head, *lines])
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(text.encode()))
    else:
        (folder / name).write_text(text, newline="")


def put_all(folder):
    put(folder, EARLY, [line(1, 7, 0, is_click=1, play_time_ms=8_000), line(1, 8, 500), line(2, 7, 400, is_like=1)])
    put(folder, LATE, [line(2, 9, 9_000, long_view=1, tab=3), line(1, 7, 9_500, is_hate=1)])
    put(folder, RANDOM, [line(2, 8, 7_000, is_rand=1)])
    put(folder, FILMS, FILM_LINES)


def events(found):
    """User, video and second of every event as original ids."""
    log = found.interactions
    user = np.repeat(log.user_ids, np.diff(log.offsets))
    seconds = log.timestamp - START // 1000
    return list(zip(user.tolist(), found.catalogue.item_ids[log.item].tolist(), seconds.tolist(), strict=True))


def column(found, name):
    log = found.interactions
    for names, values in ((log.action_names, log.actions), (log.feature_names, log.features)):
        if name in names:
            return values[:, names.index(name)].tolist()
    raise AssertionError(name)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_small_release(read, tmp_path, end):
    put_all(tmp_path)
    put(tmp_path, FILMS, FILM_LINES, end=end)
    found = read("kuairand")
    assert events(found) == [(1, 7, 0), (1, 8, 0), (1, 7, 9), (2, 7, 0), (2, 9, 9)]
    assert found.interactions.action_names == (
        "click", "like", "follow", "comment", "forward", "hate", "long_view", "play_time")
    assert column(found, "click") == [1, 0, 0, 0, 0] and column(found, "hate") == [0, 0, 1, 0, 0]
    assert column(found, "play_time") == pytest.approx([math.log(9), 0, 0, 0, 0])
    assert column(found, "duration") == pytest.approx([math.log(10)] * 5)
    assert column(found, "tab_1") == [1, 1, 1, 1, 0] and column(found, "tab_3") == [0, 0, 0, 0, 1]
    assert "random" not in found.interactions.feature_names
    assert column(found, "item_click") == pytest.approx([0, 0, math.log(2), math.log(2), 0])
    assert column(found, "user_events") == pytest.approx(np.log([1, 2, 3, 1, 2]))


def test_play_time_is_read_and_not_predicted(read, tmp_path):
    put_all(tmp_path)
    assert "play_time" not in read("kuairand").interactions.label_names


def test_the_videos(read, tmp_path):
    put_all(tmp_path)
    catalogue = read("kuairand").catalogue
    at = {video: number for number, video in enumerate(catalogue.item_ids.tolist())}

    def labels(name, video):
        kinds = catalogue.categories[name]
        return {kinds.labels[code] for code in kinds.of(at[video])}

    assert [labels("tag", video) for video in (7, 8, 9)] == [{"20", "43"}, set(), {"39"}]
    assert [labels("music", video) for video in (7, 8, 9)] == [{"9"}, set(), {"4"}]
    assert [labels("kind", video) for video in (7, 8, 9)] == [{"NORMAL"}, {"AD"}, set()]
    assert [labels("upload", video) for video in (7, 8, 9)] == [{"LongImport"}, set(), {"Web"}]
    assert [catalogue.columns["author"][at[video]] for video in (7, 8, 9)] == [70, 80, 70]
    duration = [float(catalogue.columns["duration"][at[video]]) for video in (7, 8, 9)]
    assert duration == pytest.approx([87.433, math.nan, 1.0], nan_ok=True)


def test_domains_by_music(read, tmp_path):
    put_all(tmp_path)
    catalogue = read("kuairand", domain="music").catalogue
    named = dict(zip(catalogue.item_ids.tolist()[1:], catalogue.domain.tolist()[1:], strict=True))
    assert catalogue.domain_names == ("4", "9") and named == {7: 1, 8: -1, 9: 0}
    with pytest.raises(ValueError, match=r"domain music is read from the videos, which are off\. Expected videos true"):
        KuaiRandConfig(domain="music", videos=False)


@pytest.mark.parametrize(("parameters", "expected"), [
    ({"period": "early"}, [(1, 7, 0), (1, 8, 0), (2, 7, 0)]),
    ({"period": "late"}, [(1, 7, 9), (2, 9, 9)]),
    ({"log": "random"}, [(2, 8, 7)]),
    ({"log": "random", "period": "late"}, [(2, 8, 7)]),
    ({"log": "both"}, [(1, 7, 0), (1, 8, 0), (1, 7, 9), (2, 7, 0), (2, 8, 7), (2, 9, 9)]),
    ({"log": "both", "period": "early"}, [(1, 7, 0), (1, 8, 0), (2, 7, 0)]),
])
def test_which_logs(read, tmp_path, parameters, expected):
    put_all(tmp_path)
    found = read("kuairand", **parameters)
    assert events(found) == expected
    shown_at_random = [seconds == 7 for _, _, seconds in expected]
    if any(shown_at_random):
        assert column(found, "random") == shown_at_random


def test_the_random_log_begins_late():
    with pytest.raises(ValueError, match=r"log random has no events in period early\. Expected period late or all"):
        KuaiRandConfig(log="random", period="early")


def test_the_parts_of_the_largest_release():
    assert KuaiRandConfig(size="27k", log="both").names == [
        "log_standard_4_08_to_4_21_27k_part1.csv", "log_standard_4_08_to_4_21_27k_part2.csv",
        "log_standard_4_22_to_5_08_27k_part1.csv", "log_standard_4_22_to_5_08_27k_part2.csv",
        "log_random_4_22_to_5_08_27k.csv", "video_features_basic_27k.csv"]
    assert KuaiRandConfig(size="1k", period="late", videos=False).names == ["log_standard_4_22_to_5_08_1k.csv"]


def test_the_largest_release_is_read(read, tmp_path):
    for number, name in enumerate(KuaiRandConfig(size="27k").logs):
        put(tmp_path, f"{name}.gz", [line(1, 7 + number, 1000 * number)])
    assert events(read("kuairand", size="27k", videos=False)) == [(1, 7, 0), (1, 8, 1), (1, 9, 2), (1, 10, 3)]


def test_without_counts_and_videos(read, tmp_path):
    put_all(tmp_path)
    (tmp_path / FILMS).unlink()
    found = read("kuairand", counts=False, videos=False)
    assert found.interactions.feature_names == ("tab_1", "tab_3", "duration")
    assert not found.catalogue.categories and not found.catalogue.columns


def test_a_showing_that_is_logged_again_is_one_event(read, tmp_path):
    """Its copy would tell the model what it is asked for."""
    put(tmp_path, LATE, [line(1, 7, 0, is_click=1, play_time_ms=3_000), line(1, 8, 0), line(1, 7, 1),
                         line(1, 7, 0, is_like=1, play_time_ms=7_000, hourmin=1900), line(2, 7, 0)])
    found = read("kuairand", period="late", videos=False)
    assert found.card["events"] == 4 and found.card["removed"] == {"showings that are logged again": 1}
    seconds, videos = column(found, "play_time"), [video for _, video, _ in events(found)]
    both = int(np.argmax(seconds))
    assert videos[both] == 7 and seconds[both] == pytest.approx(math.log(8))
    assert column(found, "click")[both] == column(found, "like")[both] == 1
    assert sum(column(found, "click")) == sum(column(found, "like")) == 1
    assert max(column(found, "user_events")) == pytest.approx(math.log(3))  # counted once, too


def test_counts_are_those_of_a_slow_look(read, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "CHUNK", 7)
    draw = np.random.default_rng(3)
    rows = {}
    for _ in range(150):
        user, video, time = int(draw.integers(4)), int(draw.integers(6)), 1000 * int(draw.integers(40))
        rows[user, video, time] = {name: int(draw.integers(2)) for name in FLAGS}
    put(tmp_path, LATE, [line(*key, **flags) for key, flags in rows.items()])
    found = read("kuairand", period="late", videos=False, min_user_events=2)
    slow = defaultdict(list)
    for (user, video, time), _ in rows.items():
        for who, mine in (("user", user), ("item", video)):
            before = [flags for (u, v, t), flags in rows.items() if t < time and (u if who == "user" else v) == mine]
            slow[user, video, time // 1000].append([len(before), *(sum(each[name] for each in before)
                                                                   for name in FLAGS)])
    names = ["events", "click", "like", "follow", "comment", "forward", "hate", "long_view"]
    fast = {key: [np.expm1([column(found, f"{who}_{name}")[row] for name in names]) for who in ("user", "item")]
            for row, key in enumerate(events(found))}
    assert fast.keys() == slow.keys()
    for key, counts in slow.items():
        np.testing.assert_allclose(fast[key], counts, rtol=1e-5, atol=1e-5)


def broken(text, place, value):
    fields = next(csv.reader(io.StringIO(text)))
    fields[place] = value
    return ",".join(fields)


GOOD = line(1, 7, 0)


@pytest.mark.parametrize(("lines", "message"), [
    ([GOOD, broken(GOOD, 5, "2")], f"{LATE}:3: is_click is '2'. Expected 0 or 1. Take the publisher's file as it is."),
    ([broken(GOOD, 0, "-1")], f"{LATE}:2: user_id is '-1'. Expected a number from 0 on."),
    ([broken(GOOD, 1, "x")], f"{LATE}:2: video_id is 'x'. Expected a number from 0 on."),
    ([broken(GOOD, 1, "")], f"{LATE}:2: video_id is ''. Expected a number from 0 on."),
    ([broken(GOOD, 1, "9" * 12)], f"{LATE}:2: video_id is '{'9' * 12}'. Expected a number from 0 on."),
    ([broken(GOOD, 4, "1.5")], f"{LATE}:2: time_ms is '1.5'. Expected a whole number."),
    ([broken(GOOD, 12, "-5")], f"{LATE}:2: play_time_ms is '-5'. Expected a whole number."),
    ([broken(GOOD, 18, "15")], f"{LATE}:2: tab is '15'. Expected a scenario from 0 to 14."),
    ([GOOD, GOOD + ",1"], f"{LATE}:3: 20 columns. Expected 19: `user_id video_id date"),
    ([GOOD + ",1"], f"{LATE}:2: 20 columns. Expected 19: `user_id video_id date"),
    ([GOOD.rpartition(",")[0]], f"{LATE}:2: 18 columns. Expected 19: "),
    ([GOOD, "", GOOD], f"{LATE}:3: 1 column. Expected 19: "),
    ([], f"{LATE}: the file is empty. Expected lines of `user_id video_id date"),
])
def test_a_log_that_is_wrong(read, tmp_path, lines, message):
    put(tmp_path, LATE, lines)
    with pytest.raises(DataError, match=re.escape(message)):
        read("kuairand", period="late", videos=False)


@pytest.mark.parametrize(("lines", "message"), [
    ([FILM_LINES[0], broken(FILM_LINES[1], 0, "v")], f"{FILMS}:3: video_id is 'v'. Expected a number from 0 on."),
    ([broken(FILM_LINES[1], 6, "long")], f"{FILMS}:2: video_duration is 'long'. Expected a number from 0 on, or"),
    ([broken(FILM_LINES[1], 6, "-1.0")], f"{FILMS}:2: video_duration is '-1.0'. Expected a number from 0 on, or"),
    ([broken(FILM_LINES[0], 11, "20") + ",43"], f"{FILMS}:2: 13 columns. Expected 12: "),
    ([FILM_LINES[0]] * 2, "video_id"),
])
def test_videos_that_are_wrong(read, tmp_path, lines, message):
    put_all(tmp_path)
    put(tmp_path, FILMS, lines)
    expected = message if message != "video_id" else "item 7 is listed more than once in the item table"
    with pytest.raises(DataError, match=re.escape(expected)):
        read("kuairand")


def test_a_file_of_other_columns(read, tmp_path):
    put(tmp_path, LATE, [GOOD], columns=[name for name in LOG.columns if name != "is_rand"] + ["is_rand"])
    with pytest.raises(DataError, match=rf"{LATE}:1: the columns are `user_id .* tab is_rand`\. Expected `user_id "):
        read("kuairand", period="late", videos=False)
    (tmp_path / LATE).write_text("")
    with pytest.raises(DataError, match=rf"{LATE}: the file is empty"):
        read("kuairand", period="late", videos=False)


@pytest.mark.parametrize("cut", [5, -9, -1])
def test_a_packed_file_that_was_cut(read, tmp_path, cut):
    put(tmp_path, f"{LATE}.gz", [GOOD] * 50)
    path = tmp_path / f"{LATE}.gz"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"pure\.csv\.gz: damaged gzip file"):
        read("kuairand", period="late", videos=False)


def test_where_the_archive_puts_them(read, tmp_path):
    folder = tmp_path / "KuaiRand-Pure" / "data"
    folder.mkdir(parents=True)
    put_all(folder)
    assert read("kuairand").card["events"] == 5
    assert read("kuairand", path="KuaiRand-Pure/data", log="random").card["events"] == 1


@pytest.mark.parametrize("path", [None, "elsewhere"])
def test_a_missing_file_says_where_it_comes_from(read, path):
    with pytest.raises(MissingFile, match=r"The data is at https://kuairand\.com"):
        read("kuairand", path=path)


def test_the_real_log(read, tmp_path, real_data):
    real = real_data("kuairand-pure")
    (tmp_path / f"{LATE}.gz").symlink_to(real / "log_standard_4_25_to_5_08_pure.csv.gz")
    (tmp_path / f"{FILMS}.gz").symlink_to(real / f"{FILMS}.gz")
    found = read("kuairand", period="late")
    assert (found.card["users"], found.card["items"], found.card["source_events"]) == (25_156, 6_361, 228_329)
    assert found.card["removed"] == {"showings that are logged again": 5_885}
    assert found.card["items_not_listed"] == 0 and found.card["listed_items_without_events"] == 7_583 - 6_361
    total = dict(zip(found.interactions.action_names, found.interactions.actions.sum(axis=0, dtype=float), strict=True))
    again = 228_329 - 5_885
    assert 0.43 < total["click"] / again < 0.46 and 0.3 < total["long_view"] / again < 0.33
    with gzip.open(real / "log_standard_4_25_to_5_08_pure.csv.gz", "rt") as stream:
        liked = {(row["user_id"], row["video_id"], row["time_ms"]) for row in csv.DictReader(stream)
                 if row["is_like"] == "1"}
    assert total["like"] == len(liked)


CLICKED = [line(1, 7, 0, is_click=1, long_view=1), line(1, 8, 500), line(2, 9, 400, is_click=1, is_like=1),
           line(1, 7, 0, is_click=1), line(1, 9, 2_000, is_click=1), line(2, 7, 0)]


@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_clicks_are_the_showings_that_were_clicked(read, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(table, "CHUNK", chunk)
    put_all(tmp_path)
    put(tmp_path, LATE, CLICKED)
    found = read("kuairand_clicks", period="late")
    assert events(found) == [(1, 7, 0), (1, 9, 2), (2, 9, 0)]
    assert found.interactions.action_names == ("long_view",) and column(found, "long_view") == [1, 0, 0]
    assert found.interactions.feature_names == ()
    assert found.card["removed"] == {"showings without a click": 2, "showings that are logged again": 1}
    assert found.card["listed_items_without_events"] == 0  # video 8 was not clicked, and is not kept in memory
    tag = found.catalogue.categories["tag"]
    at = {video: number for number, video in enumerate(found.catalogue.item_ids.tolist())}
    assert {tag.labels[code] for code in tag.of(at[7])} == {"20", "43"}
    assert {"tag", "music"} <= set(found.catalogue.categories)


def test_clicks_are_what_a_filter_of_all_showings_leaves(read, tmp_path):
    draw = np.random.default_rng(5)
    put(tmp_path, FILMS, FILM_LINES)
    keys = {(int(draw.integers(5)), int(draw.integers(7, 10)), 1000 * int(draw.integers(60))) for _ in range(80)}
    put(tmp_path, LATE, [line(*key, is_click=int(draw.integers(2)), long_view=int(draw.integers(2)))
                         for key in sorted(keys)])
    showings, clicks = (read(name, period="late") for name in ("kuairand", "kuairand_clicks"))
    expected = [(event, long) for event, click, long in zip(
        events(showings), column(showings, "click"), column(showings, "long_view"), strict=True) if click]
    assert len(expected) > 20
    assert list(zip(events(clicks), column(clicks, "long_view"), strict=True)) == expected


def test_clicks_of_a_log_without_any(read, tmp_path):
    put(tmp_path, LATE, [line(1, 8, 0)])
    put(tmp_path, FILMS, FILM_LINES)
    with pytest.raises(DataError, match="no events"):
        read("kuairand_clicks", period="late")


@pytest.mark.parametrize(("size", "period", "names"), [
    ("1k", "early", ["log_standard_4_08_to_4_21_1k.csv", "video_features_basic_1k.csv"]),
    ("27k", "late", ["log_standard_4_22_to_5_08_27k_part1.csv", "log_standard_4_22_to_5_08_27k_part2.csv",
                     "video_features_basic_27k.csv"]),
])
def test_the_files_of_clicks(size, period, names):
    assert ClicksConfig(size=size, period=period).names == names


def test_the_real_clicks(read, tmp_path, real_data):
    real = real_data("kuairand-pure")
    (tmp_path / f"{LATE}.gz").symlink_to(real / "log_standard_4_25_to_5_08_pure.csv.gz")
    (tmp_path / f"{FILMS}.gz").symlink_to(real / f"{FILMS}.gz")
    found = read("kuairand_clicks", period="late", repeats="first", min_user_events=5, min_item_events=5)
    with gzip.open(real / "log_standard_4_25_to_5_08_pure.csv.gz", "rt") as stream:
        lines = [(row["user_id"], row["video_id"], row["time_ms"]) for row in csv.DictReader(stream)
                 if row["is_click"] == "1"]
    again = len(lines) - len(set(lines))
    assert found.card["removed"]["showings without a click"] == 228_329 - len(lines)
    assert found.card["removed"]["showings that are logged again"] == again
    sizes = np.diff(found.interactions.offsets)
    assert sizes.min() >= 5 and np.bincount(found.interactions.item)[1:].min() >= 5
    assert len(found.interactions.item) > 1_000


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """Files for the contracts."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        put_all(place)
        request.cls.folders = (place,)


class TestKuaiRand(DatasetContract):
    spec = benchbase_datasets()[0]
    config = KuaiRandConfig()


class TestRandom(DatasetContract):
    spec = benchbase_datasets()[0]
    config = KuaiRandConfig(log="both", period="late", counts=False)


class TestClicks(DatasetContract):
    spec = benchbase_datasets()[1]
    config = ClicksConfig()


USER_FILE = "user_features_pure.csv"


def person(user, **given):
    row = {**dict.fromkeys(USERS.columns, 0), "user_id": user, "user_active_degree": "full_active", **given}
    return ",".join(str(row[name]) for name in USERS.columns)


@pytest.mark.parametrize("name", ["kuairand", "kuairand_clicks"])
def test_users_are_grouped_by_what_their_file_says(read, tmp_path, name):
    put_all(tmp_path)
    put(tmp_path, LATE, [line(2, 9, 9_000, is_click=1), line(3, 7, 9_500, is_click=1)])
    people = [person(3, fans_user_num_range='"[1,10)"', is_live_streamer=-124), person(2, fans_user_num_range="0"),
              person(1, user_active_degree="UNKNOWN", is_live_streamer=1, fans_user_num_range="0")]
    put(tmp_path, USER_FILE, people, USERS.columns)
    found = read(name, user_groups=["fans_user_num_range", "is_live_streamer"])
    assert found.groups["fans_user_num_range"].labels == ("0", "[1,10)")
    assert found.groups["fans_user_num_range"].code.tolist() == [0, 0, 1]
    assert found.groups["is_live_streamer"].code.tolist() == [1, 0, -1]
    assert read(name).groups == {}
    with pytest.raises(DataError, match=r"by 'user_active_degree' its users are in 1 group\. Expected 2"):
        read(name, user_groups="user_active_degree")


def test_a_file_of_users_that_does_not_fit_names_its_line(read, tmp_path):
    put_all(tmp_path)
    put(tmp_path, USER_FILE, [person(1), person("x")], USERS.columns)
    with pytest.raises(DataError, match=r"user_features_pure\.csv:3: user_id is 'x'\. Expected a number from 0 on\."):
        read("kuairand", user_groups="is_video_author")
    (tmp_path / USER_FILE).unlink()
    with pytest.raises(MissingFile, match=r"user_features_pure\.csv"):
        read("kuairand", user_groups="is_video_author")


def test_what_was_drawn_at_random_is_evaluated_alone(read, tmp_path):
    put_all(tmp_path)
    put(tmp_path, RANDOM, [line(user, 8, 9_900, is_rand=1) for user in (1, 2)])
    found = read("kuairand", log="both")
    how = {"name": "random_exposure", "valid": 0, "test_from": START // 1000 + 9, "valid_from": START // 1000 + 9}
    divided = split(found.interactions, found.catalogue, how, "each")
    assert [found.interactions.item[event] for event in divided.test_events] == [2, 2]  # the second video is 8
    assert divided.facts["events"] == {"train": 3, "valid": 0, "test": 2, "unused": 2}


def test_users_of_the_published_file(read, tmp_path, real_data):
    real = real_data("kuairand-pure")
    (tmp_path / f"{LATE}.gz").symlink_to(real / "log_standard_4_25_to_5_08_pure.csv.gz")
    (tmp_path / f"{USER_FILE}.gz").symlink_to(real / f"{USER_FILE}.gz")
    names = ["user_active_degree", "is_video_author", "fans_user_num_range"]
    found = read("kuairand", user_groups=names, period="late", videos=False, counts=False)
    with gzip.open(real / f"{USER_FILE}.gz", "rt") as stream:
        people = {int(row["user_id"]): row for row in csv.DictReader(stream)}
    for name, groups in found.groups.items():
        told = [groups.labels[code] if code >= 0 else None for code in groups.code]
        published = [people[user][name] for user in found.interactions.user_ids.tolist()]
        assert told == [None if value in ("UNKNOWN", "-124") else value for value in published], name
