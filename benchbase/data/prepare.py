"""Prepare: a data set's spec and parameters -> interactions, catalogue and card, cached by content."""

import hashlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import BenchbaseError, DataError, PluginError, brief
from ..specs import DataContext, DatasetSpec, defaults
from .card import make_card
from .catalogue import Catalogue
from .checksums import canonical, file_hash
from .encode import encode
from .filters import DatasetConfig
from .groups import Groups, make_groups
from .interactions import Interactions
from .log import Log
from .paths import MissingFile, cache_folder
from .store import content_hash, discard, flatten, load, restore, save

FORMAT = 2
"""Version of the prepared form; raise it when `encode`, the card or the store change what they write."""


@dataclass(frozen=True)
class Prepared:
    """A data set ready for splitting; `hash` is of the content: equal data from elsewhere has an equal hash.

    `groups`: of its users, by what the config's `user_groups` name.
    """

    interactions: Interactions
    catalogue: Catalogue
    card: dict[str, Any]
    hash: str
    groups: Mapping[str, Groups] = field(default_factory=dict)


def prepare(
    spec: DatasetSpec,
    config: DatasetConfig,
    context: DataContext | None = None,
    *,
    fetch: bool = True,
    refresh: bool = False,
) -> Prepared:
    """Read, filter, encode and sort a data set, or open the memory-mapped result of the last time.

    Missing files are fetched where the data set knows how and `fetch` allows; `refresh` reads the sources again.
    Safe when several processes prepare the same data at once. Errors: `DataError` for data that cannot be used,
    `PluginError` where the plugin breaks the contract.
    """
    context = context or DataContext()
    if not isinstance(config, DatasetConfig):
        raise PluginError(
            f"dataset {spec.name}: its config {type(config).__name__} lacks the filters that every data "
            "set has. Expected a subclass of benchbase.data.DatasetConfig."
        )
    cache = cache_folder(context)
    sources = _sources(spec, config, context, cache, fetch)
    key = _key(spec, config, context, [digest for _, digest in sources])
    folder = cache / "prepared" / f"{spec.name}-{key[:16]}"
    if refresh:
        discard(folder)
    found = load(folder, key)
    for _ in range(2):
        if found is None:
            _prepare(spec, config, context, sources, key, folder)
            found = load(folder, key)
    if found is None:
        raise DataError(
            f"{folder}: prepared data vanished while it was opened. Expected nobody to clear the cache meanwhile. "
            "Run again."
        )
    arrays, manifest = found
    interactions, catalogue, groups = restore(arrays, manifest["names"])
    return Prepared(interactions, catalogue, manifest["card"], manifest["hash"], groups)


def _sources(
    spec: DatasetSpec, config: DatasetConfig, context: DataContext, cache: Path, fetch: bool
) -> list[tuple[Path, str]]:
    """The files the data set is read from, with the hash of each one's content."""
    try:
        paths = _files(spec, config, context)
    except MissingFile:
        if spec.fetch is None or not fetch:
            raise
        with _calling(spec, "fetch"):
            spec.fetch(config, context)
        paths = _files(spec, config, context)
    with _writing(cache):
        return [(path, file_hash(path, cache)) for path in paths]


def _files(spec: DatasetSpec, config: DatasetConfig, context: DataContext) -> list[Path]:
    with _calling(spec, "files"):
        return [Path(path) for path in spec.files(config, context)]


@contextmanager
def _calling(spec: DatasetSpec, what: str) -> Iterator[None]:
    """Name the plugin and the line where a function of a data set fails; errors of our own say what is wrong already.

    Errors: `PluginError`.
    """
    try:
        yield
    except BenchbaseError:
        raise
    except (Exception, SystemExit) as error:
        module = getattr(spec.build, "__module__", "unknown").partition(".")[0]
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise PluginError(
            f"dataset {spec.name}: {what} of the plugin {module} failed: {brief(error)} (line {frame.lineno} of "
            f"{'/'.join(Path(frame.filename).parts[-2:])}, {frame.name}). Expected no error. Mend the plugin."
        ) from error


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{cache}: prepared data cannot be kept here: {error}. Expected a folder that can be written. "
            "Set BENCHBASE_CACHE to another one."
        ) from error


def _key(spec: DatasetSpec, config: DatasetConfig, context: DataContext, digests: list[str]) -> str:
    """All that the prepared form follows from; the reader's code counts, dates of files do not."""
    what = [FORMAT, spec.name, defaults(config), context.seed, digests, _code(spec)]
    return hashlib.sha256(canonical(what).encode()).hexdigest()


def _code(spec: DatasetSpec) -> str:
    """Hash of the sources of the package that builds the data set: an edited reader reads again."""
    build: Any = spec.build
    while isinstance(build, partial):
        build = build.func
    top = getattr(build, "__module__", "").partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        return ""
    path = Path(file)
    sources = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def _prepare(
    spec: DatasetSpec,
    config: DatasetConfig,
    context: DataContext,
    sources: list[tuple[Path, str]],
    key: str,
    folder: Path,
) -> None:
    where = f"dataset {spec.name}"
    with _calling(spec, "build"):
        log = spec.build(config, context)
    if not isinstance(log, Log):
        raise PluginError(f"{where}: build returned a {type(log).__name__}. Expected a benchbase.data.Log.")
    interactions, catalogue, facts = encode(log, config, context.seed, where)
    assert interactions.user_ids is not None
    groups = make_groups(interactions.user_ids, log.users, config.user_groups, where)
    del log
    arrays, names = flatten(interactions, catalogue, groups)
    if groups:
        facts["groups"] = {name: each.told() for name, each in groups.items()}
    card = make_card(spec, config, context.seed, interactions, catalogue, facts, sources)
    digest = content_hash(arrays, names)
    card["hash"] = digest
    with _writing(folder.parents[1]):
        save(folder, arrays, {"key": key, "hash": digest, "names": names, "card": card})
