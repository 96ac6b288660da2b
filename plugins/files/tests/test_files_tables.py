"""Tables (CSV, TSV, Parquet): values arrive as they stand, and every bad file is refused with its line."""

import csv
import datetime
import gzip
import io

import numpy as np
import pytest
from benchbase_files import delimited
from benchbase_files.config import FilesConfig
from benchbase_files.scan import Irregular, Scan
from pydantic import ValidationError

from benchbase.errors import DataError
from benchbase.specs import defaults

ROWS = [(1, 10, 5.0, 100), (2, 10, 3.5, 90), (1, 7, 1.0, 50)]
CSV = "user,item,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in ROWS)


def events(prepared):
    """(user id, item id, timestamp, actions) in stored order."""
    interactions = prepared.interactions
    time = [None] * interactions.n_events if interactions.timestamp is None else interactions.timestamp.tolist()
    return list(
        zip(
            interactions.user_ids[interactions.user].tolist(),
            prepared.catalogue.item_ids[interactions.item].tolist(),
            time,
            map(tuple, interactions.actions.tolist()),
            strict=True,
        )
    )


EXPECTED = [(1, 7, 50, (1.0,)), (1, 10, 100, (5.0,)), (2, 10, 90, (3.5,))]


@pytest.fixture(params=[delimited.CHUNK, 2], ids=["one chunk", "many chunks"])
def chunks(request, monkeypatch):
    monkeypatch.setattr(delimited, "CHUNK", request.param)


@pytest.mark.parametrize("separator", [",", "\t", ";", "::"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.usefixtures("chunks")
def test_separators_and_headers(read, tmp_path, separator, header):
    text = CSV if header else CSV.partition("\n")[2]
    (tmp_path / "log.txt").write_text(text.replace(",", separator))
    columns = {"actions": ["rating"]} if header else {"user": 1, "item": 2, "actions": [3], "timestamp": 4}
    form = {"\t": {"format": "tsv"}, ",": {"format": "csv"}}.get(separator, {"format": "csv", "separator": separator})
    assert events(read(path="log.txt", columns=columns, header=header, **form)) == EXPECTED


def test_packed_files_crlf_and_byte_order_marks(read, tmp_path):
    with gzip.open(tmp_path / "log.csv.gz", "wb") as stream:
        stream.write(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode())
    assert events(read(path="log.csv", format="csv", columns={"actions": ["rating"]})) == EXPECTED


@pytest.mark.parametrize("form", ["csv", "sequence", "pairs"])
def test_a_byte_order_mark_is_no_part_of_the_first_id(read, tmp_path, form):
    (tmp_path / "log").write_bytes(b"\xef\xbb\xbf" + (b"1,7\n2,7\n" if form == "csv" else b"1 7\n2 7\n"))
    more = {"header": False, "columns": {"user": 1, "item": 2, "timestamp": None}} if form == "csv" else {}
    assert read(path="log", format=form, **more).interactions.user_ids.tolist() == [1, 2]


def test_columns_may_stand_in_any_order_among_others(read, tmp_path):
    (tmp_path / "log.csv").write_text('text,when,what,who\n"a, b",5,x,u\n"""c""",4,NA,u\n')
    columns = {"user": "who", "item": "what", "timestamp": "when"}
    assert events(read(path="log.csv", format="csv", columns=columns)) == [("u", "NA", 4, ()), ("u", "x", 5, ())]


@pytest.mark.usefixtures("chunks")
def test_one_string_makes_a_column_of_strings_even_after_the_head(read, tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "SNIFF", 2)
    (tmp_path / "log.csv").write_text("user,item,timestamp\n1,007,1\n1,7,2\n1,8,3\n2,B00X,4\n")
    found = read(path="log.csv", format="csv")
    assert found.catalogue.item_ids.tolist() == ["", "007", "7", "8", "B00X"]
    assert found.interactions.user_ids.tolist() == [1, 2]


@pytest.mark.parametrize(
    "unit, times",
    [
        ("s", ["7", "3"]),
        ("s", ["7.9", "3.0"]),
        ("ms", ["7900", "3100"]),
        ("us", ["7900000", "3000001"]),
        ("iso", ["1970-01-01T00:00:07.9", "1970-01-01 00:00:03"]),
        ("iso", ["1970-01-01T01:00:07+01:00", "1970-01-01T00:00:03Z"]),
    ],
)
@pytest.mark.usefixtures("chunks")
def test_units_of_time(read, tmp_path, unit, times):
    (tmp_path / "log.csv").write_text(f"user,item,timestamp\n1,1,{times[0]}\n1,2,{times[1]}\n")
    assert events(read(path="log.csv", format="csv", timestamp_unit=unit)) == [(1, 2, 3, ()), (1, 1, 7, ())]


def test_events_of_one_second_are_sorted_by_the_finer_time(read, tmp_path):
    (tmp_path / "log.csv").write_text("user,item,timestamp\n1,1,5900\n1,2,5100\n")
    assert [event[1] for event in events(read(path="log.csv", format="csv", timestamp_unit="ms"))] == [2, 1]


@pytest.mark.parametrize(
    "unit, times",
    [("s", ["10.9", "10.1", "12"]), ("ms", ["10000.9", "10000.1", "12e3"]), ("us", ["10000000.9", "1e7", "12e6"])],
)
@pytest.mark.usefixtures("chunks")
def test_fractions_of_a_time_sort_and_are_then_dropped(read, tmp_path, unit, times):
    text = "user,item,timestamp\n" + "".join(f"1,{n},{time}\n" for n, time in enumerate(times, 1))
    (tmp_path / "log.csv").write_text(text)
    found = events(read(path="log.csv", format="csv", timestamp_unit=unit))
    assert found == [(1, 2, 10, ()), (1, 1, 10, ()), (1, 3, 12, ())]


@pytest.mark.parametrize("unit, ticks", [("s", 1), ("ms", 1000), ("us", 10**6)])
def test_fractions_of_the_latest_time_overflow_nothing(read, tmp_path, unit, ticks):
    (tmp_path / "log.csv").write_text(f"user,item,timestamp\n1,1,{10**11 * ticks}\n1,2,0.5\n")
    found = read(path="log.csv", format="csv", timestamp_unit=unit)
    assert found.interactions.timestamp.tolist() == [0, 10**11]


def test_without_times_the_file_order_stands(read, tmp_path):
    (tmp_path / "log.csv").write_text("user,item\n1,9\n2,9\n1,3\n")
    found = read(path="log.csv", format="csv", columns={"timestamp": None})
    assert events(found) == [(1, 9, None, ()), (1, 3, None, ()), (2, 9, None, ())]


def test_domains_and_features(read, tmp_path):
    (tmp_path / "log.csv").write_text("user,item,timestamp,shop,seconds\n1,1,1,toys,2.5\n1,2,2,games,3\n2,1,3,toys,4\n")
    found = read(path="log.csv", format="csv", columns={"domain": "shop", "features": ["seconds"]})
    assert [found.catalogue.domain_names[code] for code in found.catalogue.domain[1:]] == ["toys", "games"]
    assert found.interactions.features.tolist() == [[2.5], [3], [4]]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_item_tables(read, tmp_path, form):
    pd = pytest.importorskip("pandas")
    (tmp_path / "log.csv").write_text(CSV)
    frame = pd.DataFrame(
        {"id": [10, 7], "title": ["A, b", "ç"], "year": [1999, 2001], "tags": ["x|y", ""], "shop": ["s", "t"]}
    )
    if form == "csv":
        frame.to_csv(tmp_path / "items", index=False)
    else:
        frame.to_parquet(tmp_path / "items")
    catalogue = read(
        path="log.csv",
        format="csv",
        items={
            "path": "items",
            "format": form,
            "id": "id",
            "columns": ["title", "year"],
            "categories": ["tags"],
            "domain": "shop",
        },
    ).catalogue
    assert catalogue.columns["title"].tolist() == ["", "ç", "A, b"]
    assert catalogue.columns["year"].tolist() == [-1, 2001, 1999]
    assert catalogue.categories["tags"].labels == ("x", "y")
    assert catalogue.domain.tolist() == [-1, 1, 0]


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("unit, time", [("s", [100, 90, 50]), ("ms", [100_000, 90_000, 50_000]), ("s", "timestamp")])
def test_parquet(read, tmp_path, dictionary, unit, time):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    user, item, rating, stamp = (list(column) for column in zip(*ROWS, strict=True))
    time = pa.array([each * 1_000_000 for each in stamp], pa.timestamp("us")) if time == "timestamp" else pa.array(time)
    names = pa.array([f"i{each}" for each in item])
    table = pa.table(
        {
            "user": user,
            "item": names.dictionary_encode() if dictionary else names,
            "rating": rating,
            "timestamp": time,
            "other": [None] * 3,
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    found = events(read(path="log.parquet", format="parquet", columns={"actions": ["rating"]}, timestamp_unit=unit))
    assert found == [(user, f"i{item}", time, actions) for user, item, time, actions in EXPECTED]


def fails(read, tmp_path, text, message, **parameters):
    (tmp_path / "log.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=r"log\.csv" + message):
        read(path="log.csv", **{"format": "csv", **parameters})


@pytest.mark.parametrize("blank", ["\n", "\n\n", "  \n", "\r\n"])
@pytest.mark.parametrize("header", [True, False])
def test_blank_lines_anywhere_are_skipped(read, tmp_path, blank, header):
    lines = ["a,x,3", "b,x,4", "a,y,5"]
    text = blank + ("user,item,timestamp\n" + blank if header else "") + f"\n{blank}".join(lines) + f"\n{blank}"
    (tmp_path / "log.csv").write_bytes(text.encode())
    columns = {} if header else {"columns": {"user": 1, "item": 2, "timestamp": 3}}
    found = events(read(path="log.csv", format="csv", header=header, **columns))
    assert found == [("a", "x", 3, ()), ("a", "y", 5, ()), ("b", "x", 4, ())]


def test_a_header_of_several_lines_is_no_event(read, tmp_path):
    (tmp_path / "log.csv").write_text('\nuser,"the\n\nitem",timestamp\na,x,3\n')
    found = read(path="log.csv", format="csv", columns={"item": "the\n\nitem"})
    assert events(found) == [("a", "x", 3, ())]


RATED = {"columns": {"actions": ["rating"]}}
ISO = {"timestamp_unit": "iso"}
SHOP = {"columns": {"domain": "shop"}}


@pytest.mark.parametrize(
    "text, message, parameters",
    [
        ("", r": the file is empty\. Expected at least one event\. Check the path\.", {}),
        ("\n\n", r": the file is empty", {}),
        ("user,item,timestamp\n", r": the file has a header and no events\. Expected at least one", {}),
        (
            "user;item;timestamp\n1;2;3\n",
            r":1: no column 'user' for user\. Found, separated by ',': 'user;item;timestamp'\. "
            r"Set columns\.user or separator\.",
            {},
        ),
        (
            "user,item,when\n1,2,3\n",
            r":1: no column 'timestamp' for timestamp\. .* \(columns\.timestamp: null where",
            {},
        ),
        ("user,item,timestamp\n1,2,3\n", r":1: no column 'rating' for action.*Set columns\.actions", RATED),
        (
            "1,2\n",
            r":1: 2 columns, separated by ','\. Expected at least 3\. Mend the line or set separator\.",
            {"header": False, "columns": {"user": 1, "item": 2, "timestamp": 3}},
        ),
        ("user,item,timestamp\n1,2,3\n\n1,2\n", r":4: 2 columns, separated by ','\. Expected at least 3", {}),
        ("user,item,timestamp\n1,2,3\na,b\n", r":3: 2 columns, separated by ','\. Expected at least 3", {}),
        (
            "user,item,timestamp\n1,2,3\n1,2,noon\n",
            r":3: timestamp 'noon' is no number\. Expected a time in s\. Mend",
            {},
        ),
        *(
            (f"user,item,timestamp\n1,2,2019-01-01\n1,2,{time}\n", rf":3: timestamp '{time}' is no ISO date", ISO)
            for time in ("", "NaT", "nan", "today", "now", " ")
        ),
        ("user,item,timestamp\n1,2,2019-01-01\n1,2\n", r":3: 2 columns, separated by ','\. Expected at least 3", ISO),
        ("user,item,timestamp,shop\n1,2,3,a\n1,2,3\n", r":3: 3 columns, separated by ','\. Expected at least 4", SHOP),
        ("user,item,timestamp,shop\n1,2,3,a\n1,2,3,\n", r":3: domain is empty\. Expected a name\. Mend", SHOP),
        ("timestamp,item,user\n3,2,a\n3,2\n", r":3: 2 columns, separated by ','\. Expected at least 3", {}),
        ("user,item,timestamp\na,2,3\n ,2,3\n", r":3: user is empty", {}),
        ("user,item,timestamp\n1,2,1_0\n", r":2: timestamp '1_0' is no number", {}),
        ("user,item,timestamp\n1,2,\n", r":2: timestamp '' is no number", {}),
        (
            "user,item,timestamp\n1,2,2019-13-01\n",
            r":2: timestamp '2019-13-01' is no ISO date\. Expected for example",
            {"timestamp_unit": "iso"},
        ),
        (
            "user,item,rating,timestamp\n1,2,4,3\n1,2,good,3\n",
            r":3: rating 'good' is no number\. Expected a finite number",
            RATED,
        ),
        ("user,item,rating,timestamp\n1,2,,3\n", r":2: rating '' is no number", RATED),
        ("user,item,rating,timestamp\n1,2,nan,3\n", r":2: rating 'nan' is no number", RATED),
        ("user,item,timestamp\n,2,3\n", r":2: user is empty\. Expected an id\. Mend or remove the line\.", {}),
        ("user,item,timestamp\na,2,3\n,2,3\n", r":3: user is empty", {}),
        (
            b"user,item,timestamp\n\xe9,2,3\n",
            r": not utf-8 text .*Expected utf-8\. Set encoding, for example to latin-1",
            {},
        ),
        ('user,item,timestamp\n1,2,3\n1,"2,3\n', r":3: 2 columns", {}),
        *(
            (f"user,title,item,timestamp\n0,A,7,1\n\n{line}\n0,A,7,1\n", rf":4: {n} columns, separated {more}", {})
            for more in [r"by ','\. Expected 4, as in the header\. Mend the line, quote a value that holds the sep"]
            for line, n in [("9,Foo, The,7,50", 5), ("1,A,2,3,4,5", 6), ('1,"A, b",2,3,4', 5), ("1,A,2,3,", 5)]
        ),
        (
            "1,2,3\n1,2,3,4\n",
            r":2: 4 columns, separated by ','\. Expected 3, as in the first line\.",
            {"header": False, "columns": {"user": 1, "item": 2, "timestamp": 3}},
        ),
        (
            "1::A: b::7::3\n",
            r":1: 'A: b' holds a single ':'\. Expected it doubled, between columns only\. Put the columns",
            {"separator": "::", "header": False, "columns": {"user": 1, "item": 3, "timestamp": 4}},
        ),
        (
            "user,item,timestamp,item\n1,2,3,4\n",
            r":1: more than one column is named 'item'\. Expected one, for item\. Rename the others\.",
            {},
        ),
        ("user,item,timestamp\n1,2,3\n1,2,nan\n", r":3: timestamp 'nan' is no number", {}),
        ("user,item,timestamp\n1,2,3\n1,2,1e300\n", r": event 2 has timestamp 1e\+300\. Expected a time in s", {}),
        ("user,item,timestamp\n1,2,-3.5\n", r": event 1 has timestamp -3\.5\. Expected a time in s since 1970", {}),
        (
            b"u\0s",
            r": not utf-16 text \(.*BOM.*\)\. Expected utf-16\. Set encoding .* such as utf-16-le",
            {"encoding": "utf-16"},
        ),
    ],
)
@pytest.mark.usefixtures("chunks")
def test_bad_files_are_refused_with_their_line(read, tmp_path, text, message, parameters):
    fails(read, tmp_path, text, message, **parameters)


def test_a_line_with_more_columns_is_found_wherever_a_block_ends(read, tmp_path):
    """The text reaches the parser in blocks of 256 KiB: no line may slip through between two of them."""
    plain = [f"{n},{n % 7},{n}" for n in range(90_000)]
    for place in (0, 25_000, len(plain) - 1):
        lines = [*plain[:place], plain[place] + ",1", *plain[place + 1 :]]
        fails(read, tmp_path, "user,item,timestamp\n" + "\n".join(lines), rf":{place + 2}: 4 columns")


QUOTED = ['x', '"a, b"', '"a ""b"""', '"a\n\n,b"', '"a\r\nb"', '""', 'a"b', '3" nail', '"open']


@pytest.mark.parametrize("seed", range(200))
def test_lines_are_vouched_for_where_the_csv_module_agrees(seed):
    """Against Python's reader: what the scan lets pass has the header's columns on every line, and plain ids."""
    rng = np.random.default_rng(seed)
    titles, ends = QUOTED[: 6 if seed % 2 else None], ["", "", "", "", ",", ",9"] if seed % 4 < 2 else [""]
    rows = [(str(rng.choice(titles)), str(rng.choice(ends))) for _ in range(rng.integers(1, 12))]
    text = "".join(f"7,{title},5{more}\n" for title, more in rows)
    found = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    stream = Scan(io.StringIO(text, newline=""), ",", 3, [0, 2])
    while stream.read(16):
        pass
    try:
        stream.check(ended=True)
    except Irregular:
        assert any(len(row) != 3 for row in found) or any(title in QUOTED[6:] for title, _ in rows)
    else:
        assert all(len(row) == 3 and row[::2] == ["7", "5"] for row in found)


ODD_IDS = ["007", "00", "+7", " 7", "7 ", "-07", "-0", '"007"', '"7 "']


@pytest.mark.parametrize("odd", ODD_IDS)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("column", [0, 1])
def test_an_id_with_another_spelling_is_another_id(read, tmp_path, monkeypatch, odd, late, column):
    monkeypatch.setattr(delimited, "SNIFF", 3)
    rows = [["7", "7", "1"], ["0", "0", "2"], ["-7", "-7", "3"], ["10", "10", "4"]]
    rows.insert(len(rows) if late else 0, ["7", "7", "5"])
    rows[-1 if late else 0][column] = odd
    (tmp_path / "log.csv").write_text("user,item,timestamp\n" + "\n".join(map(",".join, rows)))
    found = read(path="log.csv", format="csv")
    ids = [found.interactions.user_ids.tolist(), found.catalogue.item_ids[1:].tolist()]
    assert ids[column] == sorted(["7", "0", "-7", "10", odd.strip('"')])
    assert ids[1 - column] == [-7, 0, 7, 10]


@pytest.mark.parametrize("odd", ["007", "+7", "-0"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("form", ["pairs", "sequence"])
def test_the_same_without_columns(read, tmp_path, monkeypatch, odd, late, form):
    monkeypatch.setattr(delimited, "SNIFF", 3)
    lines = ["7 1", "0 10", "-7 2", "20 1"]
    lines.insert(len(lines) if late else 0, f"{odd} 1")
    (tmp_path / "log.txt").write_text("\n".join(lines))
    found = read(path="log.txt", format=form)
    assert found.interactions.user_ids.tolist() == sorted(["7", "0", "-7", "20", odd])
    assert found.catalogue.item_ids.tolist() == [0, 1, 2, 10]


@pytest.mark.parametrize("text", ["1 2\n1 2 3\n", "1 2 3\n1 2\n"])
def test_pairs_with_more_columns_are_refused(read, tmp_path, text):
    line = text.splitlines().index("1 2 3") + 1
    fails(read, tmp_path, text, rf":{line}: 3 columns\. Expected exactly 2\. Use format: sequence", format="pairs")


def test_a_damaged_gzip_file_is_named(read, tmp_path):
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(CSV.encode() * 100)[:-20])
    with pytest.raises(DataError, match=r"log\.csv\.gz: damaged gzip file .*Expected a whole one\. Copy it again\."):
        read(path="log.csv", format="csv")
    (tmp_path / "log.csv.gz").write_bytes(b"plain text")
    with pytest.raises(DataError, match=r"log\.csv\.gz: damaged gzip file"):
        read(path="log.csv", format="csv")


FORMS = {
    "csv": "user,item,timestamp\n1,2,3\nann,20,35\nbob,2,4\n",
    "sequence": "ann 1 2 3 50\nbob 4 2 6\n",
    "pairs": "ann 1\nann 2\nbob 6\n",
    "items": "item,title\n10,Once\n7,Twice upon a time\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_packed_file_is_an_error_that_names_it_or_does_no_harm(read, tmp_path, damaged, form):
    text = FORMS[form].encode()
    parameters = {"path": "log", "format": form}
    if form == "items":
        (tmp_path / "log.csv").write_text(CSV)
        parameters = {"path": "log.csv", "format": "csv", "items": {"path": "log", "columns": ["title"]}}
    hurt, whole = 0, None
    for packed in (gzip.compress(text), *damaged(gzip.compress(text))):
        (tmp_path / "log.gz").write_bytes(packed)
        try:
            found = read(**parameters).hash
        except DataError as error:
            assert "log.gz:" in str(error)
            hurt += 1
        else:
            assert found == (whole := whole or found)
    assert whole is not None and hurt > len(text) // 6


def test_an_item_in_two_domains_is_refused(read, tmp_path):
    fails(
        read,
        tmp_path,
        "user,item,timestamp,shop\n1,5,1,b\n2,5,1,a\n",
        r": item 5 occurs in the domains a, b\. Expected one domain an item\. Put the domain into the item id",
        columns={"domain": "shop"},
    )


def test_bad_parquet_files_are_refused(read, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    def refused(message, **columns):
        table = {"user": [1, 2], "item": [1, 2], "timestamp": [1, 2], **columns}
        pq.write_table(
            pa.table({name: values for name, values in table.items() if values is not None}), tmp_path / "log.parquet"
        )
        with pytest.raises(DataError, match=r"log\.parquet: " + message):
            read(path="log.parquet", format="parquet")

    refused(r"no column 'item' for item\. Columns: timestamp, user\.", item=None)
    refused(r"row 2 has no item\. Expected a value in every row\. Leave such rows out\.", item=[1, None])
    refused(r"row 2 has an empty user\. Expected a value in every row\. Leave such rows out\.", user=["a", " "])
    refused(r"row 1 has an empty user", user=pa.array(["", "a"]).dictionary_encode())
    refused(r"event 2 has timestamp 1e\+300\. Expected a time in s since 1970, before", timestamp=[1.0, 1e300])
    refused(r"row 2 has timestamp nan\. Expected finite times\.", timestamp=[1.0, float("nan")])
    refused(r"column 'user' holds double\. Expected integers or strings for user\. Name another", user=[0.5, 1.5])
    refused(r"column 'timestamp' holds string\. Expected numbers or dates \(s\) for timestamp", timestamp=["a", "b"])
    refused(
        r"the file has no events\. Expected at least one",
        **{name: pa.array([], pa.int64()) for name in ("user", "item", "timestamp")},
    )
    (tmp_path / "log.parquet").write_text("no")
    with pytest.raises(DataError, match=r"log\.parquet: no Parquet file .*Expected one\. Set format to what it is"):
        read(path="log.parquet", format="parquet")


def test_parquet_columns_of_one_name_are_refused(read, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    two = pa.table([[1], [2], [3], [4]], names=["user", "item", "timestamp", "item"])
    pq.write_table(two, tmp_path / "log.parquet")
    message = r"log\.parquet: more than one column is named 'item'\. Expected one, for item\. Rename the others\."
    with pytest.raises(DataError, match=message):
        read(path="log.parquet", format="parquet")


@pytest.mark.parametrize(
    "kind, times",
    [
        ("timestamp[s]", [12, 10, 12]),
        ("timestamp[ms]", [10_900, 10_100, 12_000]),
        ("timestamp[us]", [10_000_009, 10_000_001, 12_000_000]),
        ("timestamp[ns]", [10_000_000_009, 10_000_000_001, 12_000_000_000]),
        ("float64", [10.9, 10.1, 12]),
        ("float32", [10.75, 10.25, 12]),
    ],
)
def test_parquet_times_sort_by_all_that_they_hold(read, tmp_path, kind, times):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    kind = {"float64": pa.float64(), "float32": pa.float32()}.get(kind) or pa.timestamp(kind[10:-1])
    pq.write_table(
        pa.table({"user": [1, 1, 1], "item": [1, 2, 3], "timestamp": pa.array(times, kind)}), tmp_path / "log.parquet"
    )
    found = [event[1:3] for event in events(read(path="log.parquet", format="parquet"))]
    assert found == ([(2, 10), (1, 12), (3, 12)] if times[0] == 12 else [(2, 10), (1, 10), (3, 12)])


@pytest.mark.parametrize("kind", ["date32", "date64"])
@pytest.mark.parametrize("unit", ["s", "ms", "iso"])
def test_parquet_dates_are_their_days_midnight(read, tmp_path, kind, unit):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    dates = pa.array([datetime.date(2019, 6, 30), datetime.date(1970, 1, 2)], getattr(pa, kind)())
    pq.write_table(pa.table({"user": [1, 1], "item": [1, 2], "timestamp": dates}), tmp_path / "log.parquet")
    found = read(path="log.parquet", format="parquet", timestamp_unit=unit)
    assert [event[1:3] for event in events(found)] == [(2, 86_400), (1, 1_561_852_800)]


def test_parquet_ids_beyond_the_signed_range(read, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    ids = pa.array([2**63, 2**63 + 1], pa.uint64())
    pq.write_table(pa.table({"user": ids, "item": ids, "timestamp": [1, 2]}), tmp_path / "log.parquet")
    assert read(path="log.parquet", format="parquet").interactions.user_ids.tolist() == [2**63, 2**63 + 1]


def test_bad_item_tables_are_refused(read, tmp_path):
    (tmp_path / "log.csv").write_text(CSV)
    (tmp_path / "items.csv").write_text("item,title,title\n10,A,B\n")
    with pytest.raises(DataError, match=r"items\.csv: more than one column is named 'title'\. Expected one, for the"):
        read(path="log.csv", format="csv", items={"path": "items.csv", "columns": ["title"]})
    (tmp_path / "items.csv").write_text("item,title\n10,A\n")
    with pytest.raises(DataError, match=r"items\.csv: no item column 'titel'\. Did you mean 'title'\? Columns: item"):
        read(path="log.csv", format="csv", items={"path": "items.csv", "columns": ["titel"]})
    (tmp_path / "items.csv").write_text("")
    with pytest.raises(DataError, match=r"items\.csv: the file is empty\. Expected a row for each item under a header"):
        read(path="log.csv", format="csv", items={"path": "items.csv"})


@pytest.mark.parametrize(
    "text, message",
    [
        ("item,title\n10,A\n,B\n7,C\n", r":3: item is empty\. Expected an id\. Mend or remove the line\."),
        ('item,title\n\n10,"A\nB"\n , C\n', r":5: item is empty"),
        ("item,title\n10,A\n7\n", r":3: 1 columns, separated by ','\. Expected 2, as in the header\. Mend the line"),
        ("item,title\n10,A, or B\n", r":2: 3 columns, .*quote a value that holds the separator, or set items\."),
        ("item,title\n10,\xe9\n", r": not utf-8 text "),
    ],
)
def test_bad_lines_of_an_item_table_are_refused(read, tmp_path, text, message):
    (tmp_path / "log.csv").write_text(CSV)
    (tmp_path / "items.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"items\.csv" + message):
        read(path="log.csv", format="csv", items={"path": "items.csv", "columns": ["title"]})


@pytest.mark.parametrize(
    "items, table, titles",
    [
        (["10", "7"], ["7", "10"], ["", "A", "B"]),
        (["10", "7"], ["010", "7"], ["", "B", ""]),  # 010 is another id than 10
        (["10", "7"], ["x7", "10"], ["", "", "B"]),
        (["007", "7", "x"], ["007", "7"], ["", "A", "B", ""]),  # the log's ids are strings: as they stand
    ],
)
def test_ids_of_an_item_table_are_read_as_the_logs_are(read, tmp_path, items, table, titles):
    (tmp_path / "log.csv").write_text("user,item,timestamp\n" + "".join(f"1,{item},5\n" for item in items))
    (tmp_path / "items.csv").write_text("item,title\n" + "".join(map("{},{}\n".format, table, "AB")))
    found = read(path="log.csv", format="csv", items={"path": "items.csv", "columns": ["title"]})
    assert found.catalogue.columns["title"].tolist() == titles


def test_a_table_of_other_items_is_refused_with_examples_of_both(read, tmp_path):
    (tmp_path / "log.csv").write_text(CSV)
    (tmp_path / "items.csv").write_text("item,title\n1.0,A\n7.0,B\n")
    with pytest.raises(
        DataError, match=r"no id of the item table occurs in the log: the log has 7, 10; the table has '1\.0', '7\.0'\."
    ):
        read(path="log.csv", format="csv", items={"path": "items.csv"})


def test_ids_of_a_parquet_item_table_have_one_type_and_no_gap(read, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    (tmp_path / "log.csv").write_text(CSV)

    def titles(ids, names=("A", "B")):
        pq.write_table(pa.table({"item": ids, "title": names}), tmp_path / "items")
        table = {"path": "items", "format": "parquet", "columns": ["title"], "categories": ["title"]}
        catalogue = read(path="log.csv", format="csv", items=table).catalogue
        return catalogue.columns["title"].tolist(), catalogue.categories["title"].labels

    assert titles([7, 10]) == titles(["7", "10"]) == (["", "A", "B"], ("A", "B"))
    assert titles([7, 10], (None, "B"))[1] == ("B",)
    with pytest.raises(DataError, match=r"items: row 2 has no item\. Expected a value in every row"):
        titles([7, None])
    with pytest.raises(DataError, match=r"items: column 'item' holds double\. Expected integers or strings for item"):
        titles([7.0, 10.0])


@pytest.mark.parametrize(
    "message, parameters",
    [
        ("columns means nothing for format sequence", {"format": "sequence", "columns": {"user": "u"}}),
        ("header means nothing for format parquet", {"format": "parquet", "header": False}),
        ("separator means nothing for format parquet", {"format": "parquet", "separator": ","}),
        ("times means nothing for format csv", {"format": "csv", "times": "t"}),
        ("the order of a pairs file is its only time", {"format": "pairs", "file_order": False}),
        (r"separator '::\?'\. Expected one character, or one character doubled", {"format": "csv", "separator": "::?"}),
        (r"encoding 'utf-9'\. Expected one of text that Python knows", {"format": "csv", "encoding": "utf-9"}),
        (r"encoding 'rot13'\. Expected one of text that Python knows", {"format": "csv", "encoding": "rot13"}),
        (r"encoding 'hex'\. Expected one of text", {"format": "sequence", "encoding": "hex"}),
        ("separator ''", {"format": "csv", "separator": ""}),
        (r"columns: 'user' given\. Expected places, counted from 1", {"format": "csv", "header": False}),
        (r"columns: 0 given\. Expected places", {"format": "csv", "header": False, "columns": {"user": 0, "item": 1}}),
        (r"columns: 3 given\. Expected the names in the header", {"format": "csv", "columns": {"user": 3}}),
        ("columns.domain and an item table", {"format": "csv", "columns": {"domain": "d"}, "items": {"path": "i"}}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(message, parameters):
    with pytest.raises(ValidationError, match=message):
        FilesConfig(path="x", **parameters)


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "sequence", "pairs", "recbole"])
def test_parameters_with_every_default_filled_in_are_the_same(form):
    """As processes beside the first one get them."""
    config = FilesConfig(path="x", format=form)
    assert FilesConfig(**defaults(config)) == config


def test_a_long_log_equals_its_plain_reading(read, tmp_path, monkeypatch):
    """Chunks, narrow types and the counting sort change nothing: compare with numpy's own reader and sort."""
    monkeypatch.setattr(delimited, "CHUNK", 700)
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(-3, 3, 5000) * 10**9, rng.integers(0, 90, 5000), rng.integers(0, 999, 5000)], axis=1)
    np.savetxt(tmp_path / "log.csv", rows, "%d", ",")
    found = read(path="log.csv", format="csv", header=False, columns={"user": 1, "item": 2, "timestamp": 3})
    expected = rows[np.lexsort((rows[:, 2], rows[:, 0]))]
    assert [event[:3] for event in events(found)] == [tuple(row) for row in expected.tolist()]


def test_marks_are_numbers_that_no_model_reads(read, tmp_path):
    (tmp_path / "log.csv").write_text(CSV)
    found = read(path="log.csv", format="csv", columns={"marks": ["rating"]}).interactions
    assert found.mark_names == ("rating",) and found.mark("rating").tolist() == [1, 5, 3.5]
    assert found.action_names == found.feature_names == ()


def users_in(form, tmp_path):
    """A table of users 1, 2 and one who is not in the log, as a file of a form."""
    rows = {"uid": [2, 1, 9], "gender": ["F", None, "M"], "plan": ["free", "paid", "paid"]}
    if form == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table(rows), tmp_path / "users.parquet")
    else:
        mark = {"csv": ",", "tsv": "\t"}[form]
        lines = zip(*([name, *("" if value is None else str(value) for value in values)]
                      for name, values in rows.items()), strict=True)
        (tmp_path / f"users.{form}").write_text("".join(mark.join(line) + "\n" for line in lines))
    return {"path": f"users.{form}", "format": form, "id": "uid"}


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_users_of_a_table_are_grouped(read, tmp_path, form):
    (tmp_path / "log.csv").write_text(CSV)
    table = users_in(form, tmp_path)
    made = read(path="log.csv", format="csv", users=table, user_groups="plan")
    assert made.groups["plan"].labels == ("free", "paid") and made.groups["plan"].code.tolist() == [1, 0]
    with pytest.raises(DataError, match=r"user_groups: by 'gender' its users are in 1 group\. Expected 2 to"):
        read(path="log.csv", format="csv", users=table, user_groups="gender")
    with pytest.raises(DataError, match=rf"users\.{form}: no user column 'plans'\. Did you mean 'plan'\?"):
        read(path="log.csv", format="csv", users=table, user_groups="plans")


def test_a_sequence_file_has_users_too(read, tmp_path):
    (tmp_path / "log.txt").write_text("1 5 6 7\n2 6 5\n")
    made = read(path="log.txt", format="sequence", users=users_in("csv", tmp_path), user_groups="plan")
    assert made.groups["plan"].code.tolist() == [1, 0]


@pytest.mark.parametrize(("parameters", "message"), [
    ({"users": {"path": "u.csv"}}, r"users is given, and user_groups names no column of it\. Expected some\. Name"),
    ({"user_groups": "age"}, r"user_groups names age, and no table tells of users\. Expected users: {path: \.\.\.}"),
    ({"user_groups": "age", "users": {"path": "u.csv"}, "format": "recbole"}, r"users means nothing for format recb"),
])
def test_users_and_their_groups_go_together(parameters, message):
    with pytest.raises(ValidationError, match=message):
        FilesConfig(**{"path": "log", "format": "csv", **parameters})


def test_users_tables_that_do_not_fit_are_refused(read, tmp_path):
    (tmp_path / "log.csv").write_text(CSV)
    for text, message in (("", r"users\.csv: the file is empty\. Expected a row for each user under a header"),
                          ("user,age\n1\n", r"users\.csv:2: 1 columns.*Expected 2.*or set users\.separator"),
                          ("user,age\n,3\n", r"users\.csv:2: user is empty\. Expected an id")):
        (tmp_path / "users.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            read(path="log.csv", format="csv", users={"path": "users.csv"}, user_groups="age")


MAPPED = {"path": "labels.json", "format": "json", "categories": ["attribute"]}


def test_a_mapping_of_items_to_labels(read, tmp_path):
    (tmp_path / "log.txt").write_text("1 5 6 7\n2 6 5\n")
    (tmp_path / "labels.json").write_text('{"7": [3, 12, 3], "5": [], "99": ["x"]}')
    found = read(path="log.txt", format="sequence", items=MAPPED).catalogue.categories["attribute"]
    assert found.labels == ("12", "3") and [found.of(item).tolist() for item in (1, 2, 3)] == [[], [], [0, 1]]


@pytest.mark.parametrize(("text", "message"), [
    ("[1]", r"labels\.json: a list\. Expected one mapping of item ids to lists of labels\. Set items\.format"),
    ("{}", r"labels\.json: an empty mapping\. Expected one"),
    ("", r"labels\.json: no JSON \(.*\)\. Expected one mapping"),
    ("[" * 100_000, r"labels\.json: no JSON \(.*\)\. Expected one mapping"),
    ('{"5": 3}', r"labels\.json: the labels of '5' are 3\. Expected a list of texts or whole numbers\. Mend them"),
    ('{"5": [" "]}', r"the labels of '5' are \[' '\]\. Expected"),
    ('{"5": [true]}', r"the labels of '5' are \[True\]\. Expected"),
    ('{"8": ["a"]}', r"no id of the item table occurs in the log"),
])
def test_a_file_that_is_no_such_mapping_is_refused(read, tmp_path, text, message):
    (tmp_path / "log.txt").write_text("1 5 6 7\n2 6 5\n")
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read(path="log.txt", format="sequence", items=MAPPED)


@pytest.mark.parametrize(("change", "message"), [
    ({"columns": ["x"]}, r"items\.columns means nothing for items\.format json, a mapping of ids to labels\. Remove"),
    ({"categories": []}, r"items\.categories names 0 columns\. Expected one for items\.format json"),
])
def test_of_a_mapping_only_its_labels_are_named(change, message):
    with pytest.raises(ValidationError, match=message):
        FilesConfig(path="log.txt", format="sequence", items=MAPPED | change)


@pytest.mark.parametrize(("name", "items", "labels"), [("Beauty", 12_101, 637), ("LastFM", 3_646, 388)])
def test_the_attributes_that_s3rec_publishes(read, real_data, name, items, labels):
    folder = real_data("amazon-s3rec")
    found = read(path=folder / f"{name}.txt", format="sequence",
                 items=MAPPED | {"path": folder / f"{name}_item2attributes.json"}).catalogue
    assert found.n_items == items and len(found.categories["attribute"].labels) == labels
