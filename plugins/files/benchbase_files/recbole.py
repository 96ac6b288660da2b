"""RecBole's atomic files: a `.inter` log whose header names and types its columns, and a `.item` file beside it.

A header reads `user_id:token item_id:token rating:float timestamp:float`, with tabs between.
Source: RecBole, https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchbase import DataContext
from benchbase.data import ItemTable, UserTable, find_file, find_folder, reading
from benchbase.errors import DataError, nearest

from .config import FilesConfig, Items
from .delimited import Layout, read_delimited
from .fields import Field, ids
from .items import labels, read_rows

TYPES = ("token", "token_seq", "float", "float_seq")

FITTING = {"id": ("token",), "time": ("float", "token"), "number": ("float", "token")}
"""Types that a column of the log may have, by the kind of its values."""

OTHERS = (".user", ".kg", ".link", ".net")
"""Atomic files that are not read, but for what `user_groups` names of users."""

BETWEEN = " "
"""What stands between the members of a sequence."""


def find_inter(context: DataContext, path: Path) -> Path:
    """The `.inter` file that a path names, itself or the only one in a folder. Errors: `DataError`, `MissingFile`."""
    if path.name.removesuffix(".gz").endswith(".inter"):
        return find_file(context, path)
    folder = find_folder(context, path)
    stems = sorted({each.name.removesuffix(".gz") for each in folder.iterdir() if ".inter" in each.suffixes})
    if len(stems) != 1:
        what = f"{len(stems)} .inter files: {', '.join(stems)}" if stems else "no .inter file"
        raise DataError(f"{folder}: {what}. Expected one. Give the path of the file itself.")
    return find_file(context, folder.absolute() / stems[0])


def find_item(inter: Path) -> Path | None:
    """The `.item` file beside a `.inter` file, if there is one."""
    return _beside(inter, ".item")


def _beside(inter: Path, suffix: str) -> Path | None:
    name = inter.name.removesuffix(".gz").removesuffix(".inter") + suffix
    return next((each for each in (inter.parent / name, inter.parent / f"{name}.gz") if each.is_file()), None)


@dataclass(frozen=True)
class Atomic:
    """An atomic file: its layout and, by name, the type of every column."""

    layout: Layout
    types: dict[str, str]

    @property
    def path(self) -> Path:
        return self.layout.path

    def typed(self, field: Field, fitting: tuple[str, ...], setting: str) -> Field:
        """A field under its name in the header. Errors: `DataError` where it is not there, or of a type that cannot be.
        """
        name = str(field.column)
        if name not in self.types:
            none = " (columns.timestamp: null where there are no times)" * (field.kind == "time")
            raise DataError(f"{self.path}: no column {name!r} for {field.role}. "
                            f"{nearest(name, self.types, 'Columns')} Set {setting}{none}.")
        if self.types[name] not in fitting:
            raise DataError(f"{self.path}: column {name!r} is of type {self.types[name]}. Expected "
                            f"{' or '.join(fitting)} for {field.role}. Name another column.")
        return field._replace(column=f"{name}:{self.types[name]}")


def open_atomic(path: Path, config: FilesConfig) -> Atomic:
    """The file with its header understood. Errors: `DataError`."""
    layout = Layout(path, config.separator or "\t", True, config.encoding)
    with reading(path, config.encoding):
        line, header = layout.first()
    if not header:
        raise DataError(f"{path}: the file is empty. Expected a header such as user_id:token. Check the path.")
    types: dict[str, str] = {}
    for column in header:
        name, _, kind = column.partition(":")
        if column.count(":") != 1 or not name.strip():
            raise DataError(f"{path}:{line}: column {column!r} is no name:type. Expected both, separated from the next "
                            f"by {layout.separator!r}. Types: {', '.join(TYPES)}. Mend the header, or set separator or "
                            "format.")
        if kind not in TYPES:
            raise DataError(f"{path}:{line}: column {name!r} is of the unknown type {kind!r}. "
                            f"{nearest(kind, TYPES, 'Types')}")
        if name in types:
            raise DataError(f"{path}:{line}: more than one column is named {name!r}. Expected one. Rename the others.")
        types[name] = kind
    return Atomic(layout, types)


def read_inter(path: Path, config: FilesConfig, wanted: list[Field]) -> dict[Field, Any]:
    """The wanted columns of the log, by field. Errors: `DataError` with file and line."""
    atomic = open_atomic(path, config)
    settings = {"action": "columns.actions", "feature": "columns.features", "mark": "columns.marks"}
    typed = [atomic.typed(field, FITTING[field.kind], settings.get(field.role, f"columns.{field.role}"))
             for field in wanted]
    found = read_delimited(atomic.layout, typed, config.timestamp_unit)
    return {field: found[each] for field, each in zip(wanted, typed, strict=True)}


def read_item(inter: Path, config: FilesConfig, strings: bool) -> ItemTable | None:
    """The table of items beside the log, if there is one; `strings`: the log's item ids are strings.

    As its types say (token and float to columns, token_seq to categories), or what `items` names alone.
    Errors: `DataError` with file and line.
    """
    path = find_item(inter)
    if path is None:
        if config.items is not None:
            raise DataError(f"{inter}: no .item file beside it. Expected one, since items is given. Remove items.")
        return None
    atomic = open_atomic(path, config)
    key = Field("item", "id", config.columns.item)
    take = config.items if config.items is not None else _by_type(atomic, str(key.column))
    wanted = {"items.columns": (take.columns, ("token", "token_seq", "float")),
              "items.categories": (take.categories, ("token", "token_seq")),
              "items.domain": ((take.domain,) if take.domain is not None else (), ("token",))}
    fields = {name: _feature(atomic, name, fitting, setting)
              for setting, (names, fitting) in wanted.items() for name in names}
    found, values = read_rows(atomic.layout, atomic.typed(key, ("token",), "columns.item"), list(fields.values()),
                              "separator")
    texts = dict(zip(fields, values, strict=True))
    return ItemTable(
        ids(found, strings),
        {name: _members(texts[name], atomic.types[name]) for name in take.categories},
        {name: _column(texts[name], atomic.types[name]) for name in take.columns},
        None if take.domain is None else np.array(texts[take.domain], dtype=object),
    )


def find_user(inter: Path) -> Path | None:
    """The `.user` file beside a `.inter` file, if there is one."""
    return _beside(inter, ".user")


def read_user(inter: Path, config: FilesConfig, strings: bool) -> UserTable | None:
    """What the table beside the log says of users in the columns that `user_groups` names; `strings`: their ids in the
    log are strings. Errors: `DataError` with file and line.
    """
    if not config.user_groups:
        return None
    path = find_user(inter)
    if path is None:
        raise DataError(f"{inter}: no .user file beside it. Expected one, since user_groups is given. Remove it.")
    atomic = open_atomic(path, config)
    fields = [_feature(atomic, name, ("token", "float"), "user_groups") for name in config.user_groups]
    key = atomic.typed(Field("user", "id", config.columns.user), ("token",), "columns.user")
    found, values = read_rows(atomic.layout, key, fields, "separator")
    return UserTable(ids(found, strings), {name: np.array(texts, dtype=object)
                                           for name, texts in zip(config.user_groups, values, strict=True)})


def _by_type(atomic: Atomic, key: str) -> Items:
    of = {kind: tuple(name for name in atomic.types if name != key and atomic.types[name] in kind)
          for kind in (("token", "float"), ("token_seq",))}
    return Items(columns=of[("token", "float")], categories=of[("token_seq",)])


def _feature(atomic: Atomic, name: str, fitting: tuple[str, ...], setting: str) -> Field:
    kind = "number" if atomic.types.get(name) == "float" else "text"
    return atomic.typed(Field(setting, kind, name), fitting, setting)


def _members(texts: list[str], kind: str) -> list[tuple[str, ...]]:
    """The labels of every item: those of a sequence, or the one token."""
    if kind == "token_seq":
        return [labels(text, BETWEEN) for text in texts]
    return [(text,) if text.strip() else () for text in texts]


def _column(texts: list[str], kind: str) -> np.ndarray:
    """Tokens as they stand; numbers, NaN where there is none."""
    if kind == "float":
        return np.array([float(text) if text.strip() else np.nan for text in texts])
    return np.array(texts, dtype=object)


def not_read(inter: Path, config: FilesConfig) -> dict[str, str]:
    """What lies beside the log, or in its table of items, and has no place in a data set: a line of the card."""
    others = [suffix for suffix in OTHERS if suffix != ".user" or not config.user_groups]
    beside = [path.name for suffix in others if (path := _beside(inter, suffix)) is not None]
    left = []
    if config.items is None and (item := find_item(inter)) is not None:
        vectors = [name for name, kind in open_atomic(item, config).types.items() if kind == "float_seq"]
        left = [f"{name} of {item.name} (float_seq)" for name in vectors]
    told = ", ".join([*beside, *left])
    hint = " (user_groups reads .user)" if any(".user" in name for name in beside) else ""
    return {"not read": f"{told}{hint}"} if told else {}
