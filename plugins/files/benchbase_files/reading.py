"""Reading: the log and the item table, whatever their form."""

from dataclasses import replace
from typing import Any

from benchbase import DataContext
from benchbase.data import ItemTable, Log, find_file
from benchbase.errors import DataError

from .config import FilesConfig
from .fields import Field, Times


def read_log(config: FilesConfig, context: DataContext) -> Log:
    """The log that the parameters describe, with what is known of items. Errors: `DataError` with file and line."""
    log = _read_log(config, context)
    if config.vectors:
        from .vectors import with_vectors

        log = replace(log, items=with_vectors(log.items, config.vectors, context))
    return log


def _read_log(config: FilesConfig, context: DataContext) -> Log:
    if config.format == "sequence":
        from .sequence import read_sequence

        log = read_sequence(config, context)
    elif config.format == "recbole":
        return _read_atomic(config, context)
    else:
        log = _read_table(config, context)
    from .items import read_items, read_users

    if config.items is not None:
        log = replace(log, items=read_items(config.items, context, _strings(log.item)))
    if config.users is not None:
        log = replace(log, users=read_users(config.users, config.user_groups, context, _strings(log.user)))
    return log


def _strings(ids: Any) -> bool:
    """Whether ids, as an array or a Categorical, are strings."""
    import numpy as np

    return np.asarray(getattr(ids, "categories", ids)).dtype.kind not in "iu"


def _read_atomic(config: FilesConfig, context: DataContext) -> Log:
    from .recbole import find_inter, not_read, read_inter, read_item, read_user

    path, wanted = find_inter(context, config.path), fields(config)
    log = _as_log(config, path, wanted, read_inter(path, config, wanted))
    return replace(log, items=read_item(path, config, _strings(log.item)),
                   users=read_user(path, config, _strings(log.user)), facts=not_read(path, config))


def _read_table(config: FilesConfig, context: DataContext) -> Log:
    path = find_file(context, config.path)
    wanted = fields(config)
    if config.format == "parquet":
        from .parquet import read_parquet

        columns = read_parquet(path, wanted, config.timestamp_unit)
    else:
        from .delimited import Layout, read_delimited

        header = config.header and config.format != "pairs"
        default = {"csv": ",", "tsv": "\t", "pairs": None}[config.format]
        layout = Layout(path, config.separator or default, header, config.encoding, config.format == "pairs")
        columns = read_delimited(layout, wanted, config.timestamp_unit)
    return _as_log(config, path, wanted, columns)


def _as_log(config: FilesConfig, path: Any, wanted: list[Field], columns: dict[Field, Any]) -> Log:
    take = {field.role: columns[field] for field in wanted if field.role in ("user", "item", "timestamp", "domain")}
    time = take.get("timestamp", Times(None, 1))
    return Log(
        take["user"],
        take["item"],
        time.values,
        {str(field.column): columns[field] for field in wanted if field.role == "action"},
        {str(field.column): columns[field] for field in wanted if field.role == "feature"},
        _domains(path, take) if "domain" in take else None,
        ticks=time.ticks,
        file_order=config.file_order,
        marks={str(field.column): columns[field] for field in wanted if field.role == "mark"},
    )


def fields(config: FilesConfig) -> list[Field]:
    """The columns to read and what each one is."""
    if config.format == "pairs":
        return [Field("user", "id", 1), Field("item", "id", 2)]
    columns = config.columns
    found = [Field("user", "id", columns.user), Field("item", "id", columns.item)]
    if columns.timestamp is not None:
        found.append(Field("timestamp", "time", columns.timestamp))
    found += [Field("action", "number", column) for column in columns.actions]
    found += [Field("feature", "number", column) for column in columns.features]
    found += [Field("mark", "number", column) for column in columns.marks]
    if columns.domain is not None:
        found.append(Field("domain", "label", columns.domain))
    return found


def _domains(path: Any, take: dict[str, Any]) -> ItemTable:
    """The domain of every item, out of its events."""
    import pandas as pd

    pairs = pd.DataFrame({"item": take["item"], "domain": take["domain"]}).drop_duplicates()
    twice = pairs[pairs["item"].duplicated(keep=False)]
    if len(twice):
        item = twice["item"].iloc[0]
        names = sorted(twice[twice["item"] == item]["domain"].astype(str))
        raise DataError(
            f"{path}: item {item} occurs in the domains {', '.join(names)}. Expected one domain an item. "
            "Put the domain into the item id where the two are different items."
        )
    return ItemTable(pairs["item"].to_numpy(), domain=pairs["domain"].astype(object).to_numpy())
