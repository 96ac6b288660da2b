"""The tables of a record, and their bytes: one content gives one file, wherever and whenever it is written."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RecordError

Table = Mapping[str, NDArray[Any]]
Curve = Sequence[tuple[int, str, float]]

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "events.parquet": {"user": "int32", "event": "int32", "above": "int32", "tied": "int32", "candidates": "int32",
                       "domain": "int16"},
    "across.parquet": {"user": "int32", "event": "int32", "across": "float32"},
    "topk.parquet": {"user": "int32", "event": "int32", "items": "list<int32>", "scores": "list<float32>"},
    "actions.parquet": {"user": "int32", "event": "int32", "action": "int8", "label": "int8", "probability": "float32"},
    "explanations.parquet": {"user": "int32", "event": "int32", "item": "int32", "explainer": "string",
                             "events": "list<int32>", "features": "list<string>", "text": "string",
                             "whole": "float64", "without": "float64", "alone": "float64"},
    "users.parquet": {"user": "int32", "metric": "string", "value": "float32"},
    "curve.parquet": {"epoch": "int32", "name": "string", "value": "float64"},
}
"""The columns of each file and their types."""


def tables_of(found: Any, metrics: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What an assessment of the test part leaves in a record, by file."""
    if hasattr(found, "above"):
        lists = topk_table(found)
        return {"events.parquet": events_table(found), **({} if lists is None else {"topk.parquet": lists})}
    return {"actions.parquet": actions_table(found), "users.parquet": users_table(found, metrics)}


def actions_table(predictions: Any) -> dict[str, NDArray[Any]]:
    """Every prediction, one row per event and action; `action` is the place among those that are predicted."""
    asked, probabilities = predictions.asked, predictions.probabilities
    n, kinds = probabilities.shape
    return {"user": np.repeat(asked.user, kinds), "event": np.repeat(asked.event, kinds),
            "action": np.tile(np.arange(kinds, dtype=np.int8), n), "label": asked.labels.ravel().astype(np.int8),
            "probability": probabilities.ravel()}


def users_table(predictions: Any, metrics: Sequence[str]) -> dict[str, Any]:
    """What each user's rows make of each metric, so that entries can be paired without the rows themselves."""
    found = {name: predictions.user_values(name) for name in metrics}
    users, values = zip(*found.values(), strict=True)
    return {"user": np.concatenate(users), "metric": [name for name, (each, _) in found.items() for _ in each],
            "value": np.concatenate(values)}


def events_table(ranking: Any) -> dict[str, NDArray[Any]]:
    """The counts of every evaluated event, as the ranker gives them."""
    return {name: getattr(ranking, name) for name in COLUMNS["events.parquet"]}


def across_table(ranking: Any, across: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The share of attention that crosses domains before each evaluated event."""
    return {"user": ranking.user, "event": ranking.event, "across": across}


def topk_table(ranking: Any) -> dict[str, Any] | None:
    """The lists of every evaluated event without their padding, or None where none were asked for."""
    if ranking.top_items is None or not ranking.top_items.size:
        return None
    filled = ranking.top_items > 0
    ends = np.cumsum(filled.sum(1))[:-1]
    return {"user": ranking.user, "event": ranking.event, "items": np.split(ranking.top_items[filled], ends),
            "scores": np.split(ranking.top_scores[filled], ends)}


def curve_table(curve: Curve) -> dict[str, Any]:
    """The learning curve, one row per epoch and name."""
    epochs, names, values = zip(*curve, strict=True) if curve else ((), (), ())
    return {"epoch": list(epochs), "name": list(names), "value": list(values)}


def to_bytes(name: str, table: Mapping[str, Any]) -> bytes:
    """A table as Parquet with fixed settings; nothing in it tells when, where or from what it was made."""
    import pyarrow as pa
    from pyarrow import parquet

    types = {f"list<{kind}>": pa.list_(pa.type_for_alias(kind)) for kind in ("int32", "float32", "string")}
    fields = [pa.field(column, types.get(kind) or pa.type_for_alias(kind), nullable=False)
              for column, kind in COLUMNS[name].items()]
    whole = pa.table([pa.array(table[field.name], field.type) for field in fields], schema=pa.schema(fields))
    sink = io.BytesIO()
    parquet.write_table(whole, sink, version="2.6", compression="zstd", compression_level=3, row_group_size=1 << 20,
                        data_page_version="1.0", store_schema=False)
    return sink.getvalue()


def from_file(path: Path) -> dict[str, NDArray[Any]]:
    """The columns of a record's file. RecordError where it is none, or has other columns."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise RecordError(f"{path}: cannot be read: {error}. Expected the table of a record. Run again.") from error
    found = {field.name: _type(field.type) for field in table.schema}
    if found != dict(COLUMNS[path.name]):
        raise RecordError(f"{path}: its columns are {found}. Expected {dict(COLUMNS[path.name])}. Run again.")
    if empty := [name for name in found if table.column(name).null_count]:
        raise RecordError(f"{path}: its column {empty[0]} has gaps. Expected a value in every row. Run again.")
    return {name: table.column(name).to_numpy() for name in found}


def _type(type_: Any) -> str:
    """An Arrow type in the words of `COLUMNS`."""
    inner = str(type_).replace("element: ", "").replace(" not null", "")
    return inner.replace("float", "float32").replace("double", "float64")
