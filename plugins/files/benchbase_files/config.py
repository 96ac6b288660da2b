"""Parameters of the `files` data set."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from benchbase import Config
from benchbase.data import DatasetConfig

Column = str | int
"""A column by its name in the header, or by its place, counted from 1, where there is none."""

Table = Literal["csv", "tsv", "parquet"]


class Columns(Config):
    """Which column holds what."""

    user: Column = Field("user", description="User id: integers or strings")
    item: Column = Field("item", description="Item id: integers or strings")
    timestamp: Column | None = Field("timestamp", description="Time of the event; null: the file has none")
    actions: tuple[Column, ...] = Field((), description="Kinds of feedback (rating, click, ...), as numbers")
    features: tuple[Column, ...] = Field((), description="Other numbers of the event (play time, ...)")
    marks: tuple[Column, ...] = Field((), description="Numbers of the event that no model reads (propensity, ...)")
    domain: Column | None = Field(None, description="Domain of the item; must be the same in all its events")


class Items(Config):
    """A table of items, one row each; of a `recbole` data set: which columns of its `.item` file are what."""

    path: Path | None = Field(None, description="The table; looked up like the log")
    format: Table | Literal["json"] = Field(
        "csv", description="Form of the table; json: one mapping of item ids to lists of labels, which become the one "
                           "column that `categories` names"
    )
    id: str = Field("item", description="Column of the item id")
    columns: tuple[str, ...] = Field((), description="Columns to keep as they are (title, year, ...)")
    categories: tuple[str, ...] = Field((), description="Columns that hold several labels each")
    category_separator: str = Field("|", min_length=1, description="What stands between two labels")
    domain: str | None = Field(None, description="Column of the item's domain")
    separator: str | None = Field(None, min_length=1, max_length=1, description="Default: comma or tab")


class Vectors(Config):
    """Vectors of items, of their images or sounds for example."""

    name: str = Field(min_length=1, description="What they are of: image, audio, ...")
    path: Path = Field(description="An `.npz` file with `ids` (n) and `vectors` (n, d); looked up like the log")


class Users(Config):
    """A table of users, one row each, of which `user_groups` names the columns that are read."""

    path: Path = Field(description="The table; looked up like the log")
    format: Table = Field("csv", description="Form of the table")
    id: str = Field("user", description="Column of the user id")
    separator: str | None = Field(None, min_length=1, max_length=1, description="Default: comma or tab")


class FilesConfig(DatasetConfig):
    """A log of interactions in a file; relative paths are looked up in the suite's folder, then BENCHBASE_DATA."""

    path: Path = Field(description="The log; `.gz` is read as it is, and found where the name lacks `.gz`")
    format: Literal["csv", "tsv", "parquet", "sequence", "pairs", "recbole"] = Field(
        description="`sequence`: lines `user item [item ...]` in time order; `pairs`: exactly `user item`; `recbole`: "
        "atomic files, a `.inter` file or the folder that holds it"
    )
    columns: Columns = Field(default_factory=Columns, description="Which column holds what (all but sequence, pairs)")
    separator: str | None = Field(
        None, description="Between columns, one character or one doubled (`::`); default: comma, tab, blanks"
    )
    header: bool = Field(True, description="The first line names the columns (csv, tsv)")
    encoding: str = Field("utf-8", description="Text encoding (all but parquet)")
    timestamp_unit: Literal["s", "ms", "us", "iso"] = Field("s", description="Unit of times; iso: date text")
    times: Path | None = Field(None, description="File parallel to a `sequence` file: lines `user time [time ...]`")
    file_order: bool = Field(True, description="Equal times keep the file's order; false: a seeded hash decides")
    items: Items | None = Field(None, description="A table of items (csv, tsv, parquet)")
    vectors: tuple[Vectors, ...] = Field((), description="Vectors of items, in files of numbers")
    users: Users | None = Field(None, description="A table of users (csv, tsv, parquet), for user_groups")

    @model_validator(mode="before")
    @classmethod
    def _own_names(cls, given: Any) -> Any:
        """Atomic files have usual names of their own."""
        columns = given.get("columns", {}) if isinstance(given, dict) and given.get("format") == "recbole" else None
        if isinstance(columns, dict):
            return {**given, "columns": {"user": "user_id", "item": "item_id", **columns}}
        return given

    @model_validator(mode="after")
    def _fit(self) -> "FilesConfig":
        table = self.format in ("csv", "tsv", "parquet", "recbole")
        # values, not what was given: a suite handed to another process has every default filled in
        wrong = {
            "columns": not table and self.columns != Columns(),
            "header": self.format not in ("csv", "tsv") and not self.header,
            "separator": self.format in ("parquet",) and self.separator is not None,
            "times": self.format != "sequence" and self.times is not None,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ValueError(f"{name} means nothing for format {self.format}. Remove it or change the format.")
        if not table and not self.file_order:
            raise ValueError(f"the order of a {self.format} file is its only time. Remove file_order.")
        if self.items is not None and self.columns.domain is not None:
            raise ValueError("columns.domain and an item table are both given. Name the domain in items.domain.")
        self._check_items()
        if len({each.name for each in self.vectors}) < len(self.vectors):
            raise ValueError("vectors names one twice. Expected each name once. Rename one.")
        self._check_users()
        self._check_separator()
        self._check_encoding()
        self._check_places()
        return self

    def _check_items(self) -> None:
        atomic = self.format == "recbole"
        if atomic and self.columns.domain is not None:
            raise ValueError("columns.domain means nothing for format recbole. Name the domain in items.domain.")
        if self.items is None:
            return
        if not atomic and self.items.path is None:
            raise ValueError("items has no path. Expected that of a table of items. Give items.path.")
        if self.items.format == "json":
            self._check_mapping(self.items)
        said = ("category_separator", "format", "id", "path", "separator")
        wrong = [name for name in said if getattr(self.items, name) != getattr(Items(), name)]
        if atomic and wrong:
            raise ValueError(f"items.{wrong[0]} means nothing for format recbole, whose `.item` file is beside the "
                             "log and says it itself. Remove it.")

    def _check_mapping(self, items: Items) -> None:
        said = ("category_separator", "columns", "domain", "id", "separator")
        if wrong := [name for name in said if getattr(items, name) != getattr(Items(), name)]:
            raise ValueError(f"items.{wrong[0]} means nothing for items.format json, a mapping of ids to labels. "
                             "Remove it.")
        if len(items.categories) != 1:
            raise ValueError(f"items.categories names {len(items.categories)} columns. Expected one for items.format "
                             "json: what its labels are called.")

    def _check_users(self) -> None:
        if self.format == "recbole" and self.users is not None:
            raise ValueError("users means nothing for format recbole, whose `.user` file is beside the log. Remove it.")
        if self.users is not None and not self.user_groups:
            raise ValueError("users is given, and user_groups names no column of it. Expected some. Name them, or "
                             "remove users.")
        if self.format != "recbole" and self.user_groups and self.users is None:
            raise ValueError(f"user_groups names {', '.join(self.user_groups)}, and no table tells of users. Expected "
                             "users: {path: ...}. Give it.")

    def _check_separator(self) -> None:
        mark = self.separator
        if mark is not None and not (len(mark) == 1 or (len(mark) == 2 and mark[0] == mark[1])):
            raise ValueError(f"separator {mark!r}. Expected one character, or one character doubled such as '::'.")

    def _check_encoding(self) -> None:
        try:
            "".encode(self.encoding)  # unlike a look-up it knows which codecs are of text
        except (LookupError, ValueError):
            raise ValueError(
                f"encoding {self.encoding!r}. Expected one of text that Python knows, such as latin-1."
            ) from None

    def _check_places(self) -> None:
        every = [self.columns.user, self.columns.item, self.columns.timestamp, self.columns.domain]
        every += [*self.columns.actions, *self.columns.features, *self.columns.marks]
        kind: type = str if self.header or self.format == "parquet" else int
        if self.format in ("csv", "tsv", "parquet", "recbole"):
            for column in every:
                if column is not None and (not isinstance(column, kind) or column in (0,)):
                    expected = "the names in the header" if kind is str else "places, counted from 1 (header: false)"
                    raise ValueError(f"columns: {column!r} given. Expected {expected}.")
