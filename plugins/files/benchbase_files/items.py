"""Tables with one row an item, or a user; ids as the log has them, columns of items numbers where all values are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchbase import DataContext
from benchbase.data import ItemTable, UserTable, find_file, open_text, reading
from benchbase.errors import DataError, brief, nearest

from .config import Items, Users
from .delimited import Layout
from .fields import Field, ids, named_twice, problem


def read_items(config: Items, context: DataContext, strings: bool) -> ItemTable:
    """The item table that the parameters describe; `strings`: the log's item ids are strings.

    Errors: `DataError` with file and line.
    """
    assert config.path is not None, "FilesConfig asks for it"
    path = find_file(context, config.path)
    if config.format == "json":
        found, sets = read_mapping(path)
        return ItemTable(ids(found, strings), {config.categories[0]: sets})
    named, found = _parquet(path, config) if config.format == "parquet" else _delimited(path, config, strings)
    return ItemTable(
        found,
        {name: [labels(text, config.category_separator) for text in named[name]] for name in config.categories},
        {name: _typed(named[name]) for name in config.columns},
        None if config.domain is None else named[config.domain].astype(object).to_numpy(),
    )


def read_mapping(path: Path) -> tuple[list[str], list[tuple[str, ...]]]:
    """The ids of a JSON mapping and the labels of each, numbers as text, each label once. Errors: `DataError`."""
    with reading(path), open_text(path) as stream:
        text = stream.read()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON ({brief(error)}). Expected one mapping of item ids to lists of labels. "
                        "Copy it again, or set items.format.") from None
    if not isinstance(found, dict) or not found:
        raise DataError(f"{path}: {'an empty mapping' if found == {} else f'a {type(found).__name__}'}. Expected one "
                        "mapping of item ids to lists of labels. Set items.format.")
    for item, labels in found.items():
        if not isinstance(labels, list) or not all(type(each) in (str, int) and str(each).strip() for each in labels):
            raise DataError(f"{path}: the labels of {item!r} are {labels!r:.40}. Expected a list of texts or whole "
                            "numbers. Mend them.")
    return list(found), [tuple(dict.fromkeys(map(str, each))) for each in found.values()]


def read_users(config: Users, groups: Sequence[str], context: DataContext, strings: bool) -> UserTable:
    """What the table says of users in the columns `groups`, as text; `strings`: the log's user ids are strings.

    Errors: `DataError` with file and line.
    """
    path = find_file(context, config.path)
    table = Items(format=config.format, id=config.id, categories=tuple(groups), separator=config.separator)
    named, found = (_parquet(path, table, "user") if config.format == "parquet"
                    else _delimited(path, table, strings, "user"))
    return UserTable(found, {name: named[name].astype(str).to_numpy(dtype=object) for name in groups})


def labels(text: Any, separator: str) -> tuple[str, ...]:
    """The labels that a text holds, with the separator between them."""
    return tuple(label for label in str(text).split(separator) if label)


def _features(config: Items) -> list[str]:
    """The columns to read beside the id."""
    return list(dict.fromkeys((*config.columns, *config.categories, *([config.domain] if config.domain else []))))


def _parquet(path: Path, config: Items, role: str = "item") -> tuple[dict[str, Any], Any]:
    """The columns by name and the ids, as the file's own types have them."""
    import pyarrow.parquet as pq

    from .parquet import read_parquet

    key = Field(role, "id", config.id)
    found = read_parquet(path, [key], "s")[key]
    names = pq.read_schema(path).names
    for name in _features(config):
        _known(path, name, names, role)
    frame = pq.read_table(path, columns=_features(config)).to_pandas()
    # A null is no label; among columns to keep it stays what pandas makes of it.
    loose = {*config.categories, config.domain}
    return {name: frame[name].where(frame[name].notna(), "") if name in loose else frame[name] for name in frame}, found


def _delimited(path: Path, config: Items, strings: bool, role: str = "item") -> tuple[dict[str, Any], Any]:
    """The columns by name as text and the ids: integers where every one is and the log's are, else as they stand."""
    import pandas as pd

    layout = Layout(path, config.separator or ("," if config.format == "csv" else "\t"), True, "utf-8")
    features = [Field("feature", "text", name) for name in _features(config)]
    found, values = read_rows(layout, Field(role, "id", config.id), features, f"{role}s.separator")
    named = {str(f.column): pd.Series(column, dtype=str) for f, column in zip(features, values, strict=True)}
    return named, ids(found, strings)


def read_rows(layout: Layout, key: Field, features: Sequence[Field], setting: str) -> tuple[list[str], list[list[str]]]:
    """The texts of the ids and of every feature, row by row: numbers are checked, and may be empty.

    `setting` names the parameter that holds the separator. Errors: `DataError` with file and line.
    """
    path = layout.path
    with reading(path, layout.encoding):
        rows = layout.rows()
        line, names = next(rows, (0, []))
        if not names:
            raise DataError(f"{path}: the file is empty. Expected a row for each {key.role} under a header. "
                            "Check the path.")
        place, *places = (_known(path, str(field.column), names, key.role) for field in (key, *features))
        texts: list[str] = []
        values: list[list[str]] = [[] for _ in places]
        for line, row in rows:
            if len(row) != len(names):
                raise DataError(
                    f"{path}:{line}: {len(row)} columns, separated by {layout.separator!r}. Expected {len(names)}, as "
                    f"in the header. Mend the line, quote a value that holds the separator, or set {setting}."
                )
            if wrong := problem(key, row[place], "s"):
                raise DataError(f"{path}:{line}: {wrong}")
            texts.append(row[place])
            for field, column, at in zip(features, values, places, strict=True):
                if field.kind == "number" and row[at].strip() and (wrong := problem(field, row[at], "s")):
                    raise DataError(f"{path}:{line}: {wrong}")
                column.append(row[at])
    return texts, values


def _known(path: Path, name: str, names: list[str], role: str) -> int:
    """The place of a column among those of the file."""
    if name not in names:
        raise DataError(f"{path}: no {role} column {name!r}. {nearest(name, names, 'Columns')}")
    if names.count(name) > 1:
        raise named_twice(str(path), Field(f"the {role} table", "label", name))
    return names.index(name)


def _typed(column: Any) -> Any:
    """Integers or floats where all values are, else strings."""
    import pandas as pd

    try:
        values = pd.to_numeric(column)
    except ValueError:
        return column.astype(str).to_numpy(dtype=object)
    return values.to_numpy()
