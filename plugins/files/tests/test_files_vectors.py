"""Vectors of items: they join whatever is known of items by id, and what is no file of vectors is refused."""

import io
import re
import zipfile

import numpy as np
import pytest
from benchbase_files.config import FilesConfig
from benchbase_files.vectors import read_vectors
from pydantic import ValidationError

from benchbase.data import render
from benchbase.errors import DataError

LOG = {"path": "log.csv", "format": "csv"}
IMAGE = {"vectors": [{"name": "image", "path": "image.npz"}]}


@pytest.fixture
def folder(tmp_path):
    """Three items in a log, two in a table, vectors of two and of one that nobody met."""
    (tmp_path / "log.csv").write_text("user,item,timestamp\n1,7,1\n1,8,2\n2,9,3\n")
    table = "item,title,year,price,kind,shop\n7,seven,1990,1.5,a|b,x\n9,nine,1991,2.5,b,y\n"
    (tmp_path / "items.csv").write_text(table)
    np.savez(tmp_path / "image.npz", ids=np.array([8, 7, 99]), vectors=np.array([[1, 2], [3, 4], [5, 6]]))
    np.savez(tmp_path / "audio.npz", ids=np.array(["9", "8"]), vectors=np.array([[1.5], [np.inf]], np.float16))
    return tmp_path


def told(vectors):
    return [None if np.isnan(row).any() else row.tolist() for row in vectors]


def test_vectors_stand_by_the_ids_of_the_log(folder, read):
    prepared = read(**LOG, **IMAGE)
    assert prepared.catalogue.item_ids.tolist() == [0, 7, 8, 9] and not prepared.catalogue.columns
    vectors = prepared.catalogue.vectors["image"]
    assert vectors.dtype == np.float32 and told(vectors) == [None, [3, 4], [1, 2], None]
    assert "vectors" in render(prepared.card) and "image (2)" in render(prepared.card)
    assert [file["name"] for file in prepared.card["files"]] == ["log.csv", "image.npz"]


def test_vectors_join_a_table_of_items_and_ids_of_text(folder, read):
    items = {"path": "items.csv", "columns": ["title", "year", "price"], "categories": ["kind"], "domain": "shop"}
    both = [*IMAGE["vectors"], {"name": "audio", "path": "audio.npz"}]
    catalogue = read(**LOG, items=items, vectors=both).catalogue
    assert told(catalogue.vectors["image"]) == [None, [3, 4], [1, 2], None]
    assert told(catalogue.vectors["audio"]) == [None, None, None, [1.5]]  # a number that is none makes no vector
    assert catalogue.columns["title"].tolist() == ["", "seven", "", "nine"]
    assert catalogue.columns["year"].tolist() == [-1, 1990, -1, 1991]
    assert np.isnan(catalogue.columns["price"]).tolist() == [True, False, True, False]
    assert [catalogue.categories["kind"].of(item).tolist() for item in (1, 2, 3)] == [[0, 1], [], [1]]
    assert catalogue.domain.tolist() == [-1, 0, -1, 1]


def test_a_sequence_file_and_recbole_have_them_too(folder, read):
    (folder / "log.txt").write_text("1 7 8\n2 9\n")
    assert told(read(path="log.txt", format="sequence", **IMAGE).catalogue.vectors["image"])[1:3] == [[3, 4], [1, 2]]
    (folder / "a.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t7\t1\n1\t8\t2\n")
    (folder / "a.item").write_text("item_id:token\ttitle:token_seq\n7\tone two\n")
    catalogue = read(path="a.inter", format="recbole", **IMAGE).catalogue
    assert told(catalogue.vectors["image"]) == [None, [3, 4], [1, 2]] and catalogue.categories


def test_data_without_vectors_is_what_it_was_and_with_them_another(folder, read):
    plain, with_them = read(**LOG), read(**LOG, **IMAGE)
    assert plain.catalogue.vectors == {} and plain.hash != with_them.hash
    np.savez(folder / "image.npz", ids=np.array([8, 7]), vectors=np.array([[1, 2], [3, 5]]))
    assert read(**LOG, **IMAGE).hash != with_them.hash
    np.savez(folder / "image.npz", ids=np.array([7, 8]), vectors=np.array([[3, 4], [1, 2]]))
    assert read(**LOG, **IMAGE).hash == with_them.hash  # what nobody met and the order are no content


def saved(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


IDS, ROWS = np.array([7, 8]), np.ones((2, 3))
FORM = "Expected n ids, whole numbers or text, and (n, d) numbers. Write it anew."
PICKLED = "Expected an .npz file with ids and vectors. Write it with numpy.savez(path, ids=..., vectors=...)."


@pytest.mark.parametrize(("content", "message"), [
    (saved(ids=IDS, vector=ROWS), "no array 'vectors'. Did you mean 'vector'? Arrays: ids, vector."),
    (saved(ids=IDS, vectors=ROWS[:1]), f"ids (2,) of int64 and vectors (1, 3) of float64. {FORM}"),
    (saved(ids=IDS, vectors=ROWS[:, 0]), f"ids (2,) of int64 and vectors (2,) of float64. {FORM}"),
    (saved(ids=IDS + 0.5, vectors=ROWS), f"ids (2,) of float64 and vectors (2, 3) of float64. {FORM}"),
    (saved(ids=IDS, vectors=ROWS.astype(str)), f"ids (2,) of int64 and vectors (2, 3) of <U32. {FORM}"),
    (saved(ids=IDS, vectors=ROWS[:, :0]), f"ids (2,) of int64 and vectors (2, 0) of float64. {FORM}"),
    (saved(ids=IDS[[0, 0]], vectors=ROWS), "item 7 has two vectors. Expected one an item. Remove one."),
])
def test_what_is_no_file_of_vectors(tmp_path, content, message):
    path = tmp_path / "image.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_vectors(path)
    assert str(error.value) == f"{path}: {message}"


def test_nothing_in_a_file_is_executed_and_all_damage_is_told(tmp_path, damaged):
    path = tmp_path / "image.npz"
    harmful = saved(ids=IDS, vectors=np.array([[print], [print]], object))
    array = io.BytesIO()
    np.save(array, ROWS)
    for content in (harmful, array.getvalue(), b"", b"no archive", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=re.escape(PICKLED)):
            read_vectors(path)
    whole = saved(ids=IDS, vectors=ROWS)
    for content in damaged(whole):
        path.write_bytes(content)
        try:
            ids, vectors = read_vectors(path)
        except DataError:
            continue
        assert (ids == IDS).all() and (vectors == ROWS).all(), "a change that nothing reads"


def test_ids_listed_twice_and_ids_beyond_integers(folder, read):
    items = {"path": "items.csv", "columns": ["title"]}
    (folder / "items.csv").write_text("item,title\n7,a\n8,b\n8,c\n")
    with pytest.raises(DataError, match=r"item 8 is listed more than once in the item table"):
        read(**LOG, items=items, **IMAGE)
    huge = np.array([7, 2**64 - 1], np.uint64)
    np.savez(folder / "image.npz", ids=huge, vectors=np.array([[1e300, 1], [1, 2]]))
    assert told(read(**LOG, **IMAGE).catalogue.vectors["image"]) == [None] * 4  # 1e300 is none either


def test_a_member_that_is_no_array(tmp_path):
    path = tmp_path / "image.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ids", "7")
        archive.writestr("vectors", "8")
    with pytest.raises(DataError) as error:
        read_vectors(path)
    assert str(error.value) == (f"{path}: ids or vectors are no arrays. Expected an .npz file of both. Write it with "
                                "numpy.savez(path, ids=..., vectors=...).")


def test_one_name_stands_for_one_file():
    twice = [{"name": "image", "path": "a.npz"}, {"name": "image", "path": "b.npz"}]
    with pytest.raises(ValidationError, match=r"vectors names one twice\. Expected each name once\. Rename one\."):
        FilesConfig(**LOG, vectors=twice)


def test_a_missing_file_is_named(folder, read):
    with pytest.raises(DataError, match=r"sound\.npz"):
        read(**LOG, vectors=[{"name": "audio", "path": "sound.npz"}])
