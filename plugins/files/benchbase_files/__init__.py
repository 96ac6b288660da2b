"""Your own logs as data sets: CSV, TSV, Parquet, `user item item ...` sequence files, and RecBole's atomic files."""

from pathlib import Path

from benchbase import DataContext, DatasetSpec, hookimpl
from benchbase.data import Log, find_file

from .config import FilesConfig


def build(config: FilesConfig, context: DataContext) -> Log:
    """Read the log; pandas and pyarrow arrive only here."""
    from .reading import read_log

    return read_log(config, context)


def files(config: FilesConfig, context: DataContext) -> list[Path]:
    """Every file the log is read from."""
    if config.format == "recbole":
        from .recbole import find_inter, find_item, find_user

        inter = find_inter(context, config.path)
        users = find_user(inter) if config.user_groups else None
        found = [path for path in (inter, find_item(inter), users) if path is not None]
        return [*found, *(find_file(context, each.path) for each in config.vectors)]
    tables = (None if table is None else table.path for table in (config.items, config.users))
    given = [config.path, config.times, *tables, *(each.path for each in config.vectors)]
    return [find_file(context, path) for path in given if path is not None]


@hookimpl
def benchbase_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="files",
            config=FilesConfig,
            build=build,
            files=files,
            source="the files you name",
            licence="that of the files",
        )
    ]
