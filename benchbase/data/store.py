"""Store: prepared arrays on disk, one .npy each and a manifest, opened without reading them."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

import numpy as np

from ..errors import DataError
from .catalogue import Catalogue, Categories
from .checksums import canonical, read_json
from .groups import Groups
from .interactions import Interactions
from .paths import default_cache

MANIFEST = "manifest.json"


def flatten(interactions: Interactions, catalogue: Catalogue, groups: Mapping[str, Groups]
            ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Everything as arrays of numbers by name, and the names that go with them as JSON."""
    arrays: dict[str, np.ndarray | None] = {
        **{name: getattr(interactions, name) for name in ("offsets", "item", "timestamp", "actions", "features",
                                                           "marks")},
        "user_ids": interactions.user_ids,
        "item_ids": catalogue.item_ids,
        "domain": catalogue.domain,
        **{f"column.{place}": values for place, values in enumerate(catalogue.columns.values())},
    }
    for place, categories in enumerate(catalogue.categories.values()):
        arrays[f"category.{place}.offsets"] = categories.offsets
        arrays[f"category.{place}.values"] = categories.values
    for place, vectors in enumerate(catalogue.vectors.values()):
        arrays[f"vectors.{place}"] = vectors
    for place, each in enumerate(groups.values()):
        arrays[f"group.{place}"] = each.code
    names = {
        "action_names": interactions.action_names,
        "feature_names": interactions.feature_names,
        "has_time": catalogue.has_time,
        "domain_names": catalogue.domain_names,
        "columns": list(catalogue.columns),
        "categories": list(catalogue.categories),
        "labels": [each.labels for each in catalogue.categories.values()],
        # Left out where there are none, so that the hash of data without them is what it was before there were any.
        **({"mark_names": interactions.mark_names} if interactions.mark_names else {}),
        **({"vectors": list(catalogue.vectors)} if catalogue.vectors else {}),
        **({"groups": list(groups), "group_labels": [each.labels for each in groups.values()]} if groups else {}),
    }
    flat: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        if values is None:
            continue
        if values.dtype.kind == "O":
            flat[f"{name}.text"], flat[f"{name}.ends"] = _from_strings(values)
        else:
            flat[name] = np.ascontiguousarray(values)
    return flat, names


def restore(arrays: Mapping[str, np.ndarray], names: Mapping[str, Any]
            ) -> tuple[Interactions, Catalogue, dict[str, Groups]]:
    """The inverse of `flatten`."""

    def get(name: str) -> Any:
        if f"{name}.text" in arrays:
            return _to_strings(arrays[f"{name}.text"], arrays[f"{name}.ends"])
        return arrays.get(name)

    interactions = Interactions(
        get("offsets"),
        get("item"),
        get("timestamp"),
        get("actions"),
        get("features"),
        tuple(names["action_names"]),
        tuple(names["feature_names"]),
        get("user_ids"),
        get("marks"),
        tuple(names.get("mark_names", ())),
    )
    categories = {
        name: Categories(get(f"category.{place}.offsets"), get(f"category.{place}.values"), tuple(labels))
        for place, (name, labels) in enumerate(zip(names["categories"], names["labels"], strict=True))
    }
    columns = {name: get(f"column.{place}") for place, name in enumerate(names["columns"])}
    vectors = {name: get(f"vectors.{place}") for place, name in enumerate(names.get("vectors", ()))}
    groups = {name: Groups(get(f"group.{place}"), tuple(labels))
              for place, (name, labels) in enumerate(zip(names.get("groups", ()), names.get("group_labels", ()),
                                                         strict=True))}
    return interactions, Catalogue(
        get("item_ids"), names["has_time"], get("domain"), tuple(names["domain_names"]), categories, columns, vectors
    ), groups


def content_hash(arrays: Mapping[str, np.ndarray], names: Mapping[str, Any]) -> str:
    """SHA-256 over every array's name, type, shape and bytes, and over the names: what the data is, not whence."""
    digest = hashlib.sha256(canonical(names).encode())
    for name in sorted(arrays):
        values = arrays[name]
        digest.update(canonical([name, values.dtype.str, values.shape]).encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def save(folder: Path, arrays: Mapping[str, np.ndarray], manifest: dict[str, Any]) -> None:
    """Write a folder whole or not at all; of several processes that write the same key, one wins.

    `manifest` holds the `key`; a damaged folder, or one of another key, is replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    aside = _aside(folder)
    aside.mkdir()
    try:
        sizes = {}
        for name, values in arrays.items():
            with (aside / f"{name}.npy").open("wb") as stream:
                np.save(stream, values, allow_pickle=False)
                sizes[name] = stream.tell()
                _sync(stream.fileno())
        with (aside / MANIFEST).open("w", encoding="utf-8") as stream:
            stream.write(canonical({**manifest, "sizes": sizes}))
            stream.flush()
            _sync(stream.fileno())
        _move(aside, folder, manifest["key"])
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load(folder: Path, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The memory-mapped arrays of a folder and its manifest, or None where it is absent, damaged or of another key."""
    manifest = read_json(folder / MANIFEST)
    if manifest is None or manifest.get("key") != key or not isinstance(manifest.get("sizes"), dict):
        return None
    arrays = {}
    try:
        for name, size in manifest["sizes"].items():
            path = folder / f"{name}.npy"
            if path.stat().st_size != size:
                return None
            # A view as a plain array costs nothing and makes slices as cheap as those of any other array.
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError):
        return None
    return arrays, manifest


def kept(name: str, key: Any, make: Callable[[], Mapping[str, np.ndarray]], cache: Path | None = None
         ) -> dict[str, np.ndarray]:
    """Arrays of numbers that are costly to make: made once for a key and memory-mapped from the cache ever after.

    `key`: plain data, all that they follow from, the content of files among it. Safe when several processes make the
    same. Errors: `DataError` where the cache cannot be written.
    """
    digest = hashlib.sha256(canonical([name, key]).encode()).hexdigest()
    folder = (cache or default_cache()) / "kept" / f"{name}-{digest[:16]}"
    found = load(folder, digest)
    if found is None:
        made = {place: np.ascontiguousarray(values) for place, values in make().items()}
        try:
            save(folder, made, {"key": digest})
        except OSError as error:
            raise DataError(f"{folder}: cannot be written: {error}. Expected a folder that can be. Set BENCHBASE_CACHE "
                            "to another one.") from error
        found = load(folder, digest) or (made, {})
    return found[0]


def discard(folder: Path) -> None:
    """Remove a folder: renamed first, so that nobody opens half of it. Arrays that are open stay readable."""
    aside = _aside(folder)
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)


def _move(aside: Path, folder: Path, key: str) -> None:
    """Rename into place; a good folder of the same key that stands there already is kept."""
    for _ in range(3):
        try:
            aside.rename(folder)
            return
        except OSError as error:
            if load(folder, key) is not None:
                return
            failure = error
            discard(folder)
    raise failure


def _aside(folder: Path) -> Path:
    """A name beside the folder that no other process takes."""
    return folder.with_name(f".{folder.name}-{uuid4().hex}")


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed more than a day ago left beside the folder."""
    for left in folder.parent.glob(f".{folder.name}-*"):
        with suppress(OSError):
            if left.stat().st_mtime < time() - 86_400:
                shutil.rmtree(left, ignore_errors=True)


def _sync(descriptor: int) -> None:
    """Force to disk before the rename, so that a crash leaves no complete-looking folder with empty files."""
    os.fsync(descriptor)


def _from_strings(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strings as UTF-8 bytes and the end of each in characters: fixed width would blow up with one long title."""
    strings = values.tolist()
    text = np.frombuffer("".join(strings).encode("utf-8", "surrogatepass"), np.uint8)
    return text, np.cumsum([len(each) for each in strings], dtype=np.int64)


def _to_strings(text: np.ndarray, ends: np.ndarray) -> np.ndarray:
    whole = text.tobytes().decode("utf-8", "surrogatepass")
    places = ends.tolist()
    strings = np.empty(len(places), object)
    strings[:] = [whole[a:b] for a, b in zip([0, *places[:-1]], places, strict=True)]
    return strings
