"""Items: a table with one row an item, all read as text except where a whole column is numbers."""

from pathlib import Path
from typing import Any

from benchbase import DataContext
from benchbase.data import ItemTable, find_file
from benchbase.errors import DataError, nearest

from .config import Items


def read_items(config: Items, context: DataContext) -> ItemTable:
    """The item table that the parameters describe. Errors: `DataError`."""
    path = find_file(context, config.path)
    frame = _frame(path, config)
    categories = {
        name: [tuple(label for label in str(text).split(config.category_separator) if label) for text in frame[name]]
        for name in config.categories
    }
    return ItemTable(
        _typed(frame[config.id]),
        categories,
        {name: _typed(frame[name]) for name in config.columns},
        None if config.domain is None else frame[config.domain].astype(object).to_numpy(),
    )


def _frame(path: Path, config: Items) -> Any:
    import pandas as pd

    try:
        if config.format == "parquet":
            frame = pd.read_parquet(path)
        else:
            mark = config.separator or ("," if config.format == "csv" else "\t")
            frame = pd.read_csv(path, sep=mark, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path}: no {config.format} table ({error}). Expected a row an item under a header. "
            "Check items.format and items.separator."
        ) from None
    for name in (config.id, *config.columns, *config.categories, *([config.domain] if config.domain else [])):
        if name not in frame.columns:
            raise DataError(f"{path}: no item column {name!r}. {nearest(name, map(str, frame.columns), 'Columns')}")
    return frame


def _typed(column: Any) -> Any:
    """Integers or floats where all values are, else strings."""
    import pandas as pd

    try:
        values = pd.to_numeric(column)
    except ValueError:
        return column.astype(str).to_numpy(dtype=object)
    return values.to_numpy()
