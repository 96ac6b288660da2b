"""AutoCDSR's records of KuaiRand-1K: wire format against an encoder of our own, and files that lie about themselves."""

import gzip
import io
import re
import struct
import tarfile

import numpy as np
import pytest
from benchbase_crossdomain import archives, benchbase_datasets
from benchbase_crossdomain.config import AutoCDSRConfig
from benchbase_crossdomain.records import LONGEST, features, records, varints

from benchbase.data import MissingFile
from benchbase.errors import DataError
from benchbase.testing.contracts import DatasetContract


def varint(number):
    number %= 2**64
    octets = []
    while number >= 128:
        octets.append(number % 128 + 128)
        number //= 128
    return bytes([*octets, number])


def part(field, data):
    return varint(field * 8 + 2) + varint(len(data)) + data


def numbers(values, packed=True):
    return part(1, b"".join(map(varint, values))) if packed else b"".join(b"\x08" + varint(each) for each in values)


def example(lists, kind=3, packed=True):
    """A tf.train.Example with these lists; `kind` 3 is of whole numbers."""
    entries = [part(1, name.encode()) + part(2, part(kind, numbers(values, packed))) for name, values in lists.items()]
    return part(1, b"".join(part(1, entry) for entry in entries))


def row(videos, domains):
    return example({"sequence_event_type": domains, "sequence_data": videos})


def framed(rows):
    return b"".join(struct.pack("<QI", len(each), 0) + each + bytes(4) for each in rows)


def put(path, files):
    """A tar with packed files of these bytes by name."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        folder = tarfile.TarInfo("part")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files:
            packed = gzip.compress(data)
            member = tarfile.TarInfo(f"part/{name}")
            member.size = len(packed)
            archive.addfile(member, io.BytesIO(packed))


ONE, TWO = "partition_1.tfrecord.gz", "partition_2.tfrecord.gz"
FILES = [(TWO, framed([row([7, -1, 300_000, 7], [9, 4, 4, 9])])),
         (ONE, framed([row([8, 7], [0, 9]), row([-1, -1], [9, 9]), row([300_000, 8], [4, 0])]))]


EXPECTED = {"training/partition_1/0": [8, 7], "training/partition_1/2": [300_000, 8],
            "training/partition_2/0": [7, 300_000, 7]}


@pytest.mark.parametrize("name", ["training.tar", "training.tar.gz"])
def test_rows_of_an_archive(read, tmp_path, name, lists):
    put(tmp_path / name, FILES)
    found = read("autocdsr_kuairand")
    assert lists(found) == EXPECTED
    assert found.card["removed"] == {"videos out of the vocabulary": 3} and found.card["source_events"] == 10
    names = [found.catalogue.domain_names[code] for code in found.catalogue.domain[1:]]
    assert found.catalogue.item_ids[1:].tolist() == [7, 8, 300_000] and names == ["9", "0", "4"]
    assert found.interactions.timestamp is None


def test_a_folder_holds_the_same_and_comes_first(read, tmp_path):
    put(tmp_path / "training.tar", FILES)
    whole = read("autocdsr_kuairand").hash
    with tarfile.open(tmp_path / "training.tar") as archive:
        for member in archive:
            if member.isreg():
                place = tmp_path / "data" / "training" / member.name.rpartition("/")[2]
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.extractfile(member).read())
    found = read("autocdsr_kuairand", path="data")
    assert found.hash == whole and [each["name"] for each in found.card["files"]] == [ONE, TWO]
    put(tmp_path / "data" / "training.tar", FILES[:1])
    assert read("autocdsr_kuairand", path="data").hash == whole


def test_all_parts(read, tmp_path, lists):
    for name, files in (("training", FILES), ("evaluation", FILES[:1]), ("testing", FILES[:1])):
        put(tmp_path / f"{name}.tar", files)
    assert lists(read("autocdsr_kuairand", part="testing")) == {"testing/partition_2/0": [7, 300_000, 7]}
    assert lists(read("autocdsr_kuairand", part="all")).keys() == {
        *EXPECTED, "testing/partition_2/0", "evaluation/partition_2/0"}


@pytest.mark.parametrize("packed", [True, False])
def test_numbers_of_every_length(packed):
    given = [0, 1, 127, 128, 16_383, 16_384, 2**31, 2**62, 2**63 - 1, -1, -(2**63)]
    found = features(example({"a": given, "b": [], "c": given[::-1]}, packed=packed))
    assert {name: values.tolist() for name, values in found.items()} == {"a": given, "b": [], "c": given[::-1]}
    assert varints(b"".join(map(varint, given))).tolist() == given


def test_what_is_not_asked_for_is_passed_over():
    record = varint(8) + varint(300) + varint(17) + bytes(8) + varint(21) + bytes(4) + part(9, b"more")
    record += example({"words": [1]}, kind=1) + example({"floats": [1]}, kind=2) + example({"some": [5]})
    assert {name: values.tolist() for name, values in features(record).items()} == {"some": [5]}


@pytest.mark.parametrize(("record", "message"), [
    (b"\xff" * 11, "a number is cut or too long"), (b"\x80", "a number is cut or too long"),
    (b"\x0a\x05abc", "a field ends 2 bytes after its message"), (b"\x09abc", "a field ends 5 bytes after its message"),
    (b"\x0a" + varint(2**63) + b"abc", "bytes after its message"), (b"\x0b", "wire type 3"), (b"\x0f", "wire type 7"),
    (part(1, part(1, part(2, part(3, part(1, b"\x05\x80"))))), "a number is cut"),
    (part(1, part(1, part(2, part(3, part(1, b"\xff" * 10 + b"\x01"))))), "a number has 11 bytes"),
])
def test_records_that_lie(record, message):
    with pytest.raises(ValueError, match=message):
        features(record)


def test_any_other_bytes_are_an_error_or_numbers():
    draw, good = np.random.default_rng(0), np.frombuffer(row([7, -1, 300_000], [9, 4, 4]), np.uint8)
    outcomes = set()
    for _ in range(2_000):
        bad = good.copy()
        bad[draw.integers(len(bad), size=2)] = draw.integers(256, size=2)
        try:
            found = features(bad.tobytes())
        except ValueError:
            outcomes.add("error")
        else:
            assert all(values.dtype == np.int64 for values in found.values())
            outcomes.add("numbers")
    assert outcomes == {"error", "numbers"}


def test_a_length_is_not_believed():
    class Stream(io.BytesIO):
        def read(self, size=-1):
            assert 0 <= size <= LONGEST + 4
            return super().read(size)

    for length in (LONGEST + 1, 2**63, 2**64 - 1):
        with pytest.raises(ValueError, match=f"it has {length} bytes, more than {LONGEST}"):
            list(records(Stream(struct.pack("<QI", length, 0) + bytes(50))))
    assert list(records(Stream(framed([b"", b"ab"])))) == [b"", b"ab"]


GOOD = row([7], [9])


@pytest.mark.parametrize(("data", "message"), [
    (framed([GOOD]) + b"more", f"{ONE}:2: no record (4 bytes where the head of a record takes 12). Expected TFRecords. "
                               "Take the publisher's files as they are."),
    (framed([GOOD])[:-1], f"{ONE}:1: no record ({len(GOOD) + 3} bytes where its head says {len(GOOD)} and 4 of a"),
    (framed([GOOD]) + struct.pack("<QI", 2**60, 0), f"{ONE}:2: no record (it has {2**60} bytes, more than {LONGEST})."),
    (framed([GOOD, b"\x0b"]), f"{ONE}:2: no example (wire type 3). Expected a tf.train.Example."),
    (framed([b""]), f"{ONE}:1: no whole numbers called sequence_data, but none. Expected sequence_data and "),
    (framed([example({"sequence_data": [1]})]),
     f"{ONE}:1: no whole numbers called sequence_event_type, but sequence_data. Expected sequence_data and"),
    (framed([row([1, 2], [9])]), f"{ONE}:1: 2 values of sequence_data, 1 of sequence_event_type. Expected as many of"),
    (framed([row([-2], [9])]), f"{ONE}:1: sequence_data has -2. Expected numbers from -1 to 2147483647."),
    (framed([row([2**31], [9])]), f"{ONE}:1: sequence_data has 2147483648. Expected numbers from -1 to 2147483647."),
    (framed([row([1], [-1])]), f"{ONE}:1: sequence_event_type has -1. Expected numbers from 0 to 32767."),
    (framed([row([1, 2, 1], [9, 9, 4])]), "video 1 has sequence_event_type 9 and 4. Expected one a video."),
    (framed([row([-1], [9])]), "training.tar: no row has a video that is known. Expected some."),
    (b"", "training.tar: no row has a video that is known. Expected some."),
])
def test_rows_that_are_wrong(read, tmp_path, data, message):
    put(tmp_path / "training.tar", [(ONE, data)])
    with pytest.raises(DataError, match=re.escape(message)):
        read("autocdsr_kuairand")


@pytest.mark.parametrize(("files", "message"), [
    ([], "it holds no file. Expected files *.tfrecord.gz."),
    ([("notes.txt", b"")], "it holds 'part/notes.txt'. Expected files *.tfrecord.gz only."),
    ([FILES[0], FILES[0]], f"it holds 'part/{TWO}' twice. Expected each file once."),
])
def test_archives_of_something_else(read, tmp_path, files, message):
    put(tmp_path / "training.tar", files)
    with pytest.raises(DataError, match=re.escape(f"training.tar: {message}")):
        read("autocdsr_kuairand")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_not_followed(read, tmp_path, kind):
    put(tmp_path / "secret.tar", FILES)
    with tarfile.open(tmp_path / "training.tar", "w") as archive:
        member = tarfile.TarInfo(ONE)
        member.type, member.linkname = kind, str(tmp_path / "secret.tar")
        archive.addfile(member)
    with pytest.raises(DataError, match=rf"training\.tar: it holds '{ONE}'\. Expected files"):
        read("autocdsr_kuairand")


@pytest.mark.parametrize("harm", ["cut at the end", "cut in a file", "cut between files", "a damaged header", "no tar"])
def test_damaged_archives(read, tmp_path, harm):
    path = tmp_path / "training.tar"
    put(path, FILES)
    with tarfile.open(path) as archive:
        second = archive.getmembers()[2]
    whole = path.read_bytes()
    damaged = {"cut at the end": whole[: second.offset_data + 512], "cut in a file": whole[: second.offset_data + 9],
               "cut between files": whole[: second.offset], "no tar": b"hello" * 200,
               "a damaged header": whole[: second.offset] + b"\xff" * 512 + whole[second.offset + 512 :]}
    path.write_bytes(damaged[harm])
    with pytest.raises(DataError, match=r"training\.tar.*: no whole tar \(.*\)\. Expected one\. Copy it again\."):
        read("autocdsr_kuairand")


@pytest.mark.parametrize(("kind", "size"), [
    (b"0", 2**60), (b"0", -512), (b"0", -1536), (b"0", -(2**62)), (b"L", 2**40), (b"x", 2**40), (b"S", 2**40)])
def test_headers_that_lie_take_neither_time_nor_memory(read, tmp_path, kind, size):
    """Names and sparse files of a terabyte, and sizes that lead back to where the archive was read before."""
    path = tmp_path / "training.tar"
    put(path, FILES)
    with tarfile.open(path) as archive:
        start = archive.getmembers()[1].offset
    data = bytearray(path.read_bytes())
    header = data[start : start + 512]
    header[124:136] = b"\x80" + size.to_bytes(11) if size > 0 else (size % 2**96).to_bytes(12)
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(data[:start] + header + data[start + 512 :])
    with pytest.raises(DataError, match=r"training\.tar"):
        read("autocdsr_kuairand")


def test_damaged_packed_files(read, tmp_path):
    path = tmp_path / "training.tar"
    put(path, FILES)
    with tarfile.open(path) as archive:
        first = archive.getmembers()[1]
    data = bytearray(path.read_bytes())
    data[first.offset_data + first.size - 6] ^= 1  # gzip's checksum
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"training\.tar/part/{TWO}: damaged gzip file"):
        read("autocdsr_kuairand")
    put(tmp_path / "training.tar.gz", FILES)
    path.unlink()
    (tmp_path / "training.tar.gz").write_bytes((tmp_path / "training.tar.gz").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"training\.tar\.gz: damaged gzip file"):
        read("autocdsr_kuairand")


def test_packed_files_that_hold_too_much(read, tmp_path, monkeypatch):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / ONE).write_bytes(gzip.compress(framed([GOOD] * 2)))
    monkeypatch.setattr(archives, "MOST", 60)
    with pytest.raises(DataError, match=rf"{ONE}: so far, more than 60 bytes came out of packed files\."):
        read("autocdsr_kuairand")
    (tmp_path / "training" / ONE).unlink()
    put(tmp_path / "training.tar.gz", FILES)
    with pytest.raises(DataError, match=r"training\.tar\.gz: it has more than 60 bytes when unpacked\."):
        read("autocdsr_kuairand")


def test_a_missing_part_says_where_it_comes_from(read, tmp_path):
    put(tmp_path / "training.tar", FILES)
    with pytest.raises(MissingFile, match=r"lacks evaluation\.tar.* The data is at https://github\.com/snap-research/Auto"):
        read("autocdsr_kuairand", part="all")


@pytest.mark.parametrize(("name", "rows", "events", "videos", "gone"), [
    ("training", 3_101, 1_909_758, 729_827, 571_042), ("testing", 1_000, 614_001, 358_632, 185_999)])
def test_the_real_rows(read, real_data, name, rows, events, videos, gone):
    found = read("autocdsr_kuairand", part=name, path=real_data("cross-domain/autocdsr-kuairand-1k"))
    assert (found.card["users"], found.card["events"], found.card["items"]) == (rows, events, videos)
    assert found.card["removed"] == {"videos out of the vocabulary": gone} and events + gone == rows * 800
    counts = np.bincount(found.catalogue.domain[found.interactions.item])
    shares = dict(zip(found.catalogue.domain_names, (counts / events).tolist(), strict=True))
    assert shares["9"] == pytest.approx(0.805, abs=5e-4) and shares["4"] == pytest.approx(0.133, abs=5e-4)
    assert 1 - shares["9"] - shares["4"] == pytest.approx(0.062, abs=5e-4)


@pytest.fixture(autouse=True, scope="class")
def folder(request, tmp_path_factory):
    """Files for the contract."""
    if request.cls is not None:
        place = tmp_path_factory.mktemp("files")
        put(place / "training.tar", FILES)
        request.cls.folders = (place,)


class TestAutoCDSR(DatasetContract):
    spec = benchbase_datasets()[3]
    config = AutoCDSRConfig()
