"""What the releases say of items: title, brand, price and categories, each in its own words.

Those of 2014 are Python literals, which are never run.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbase.data.lines import objects, text

PRICE = re.compile(r"^\$?(\d[\d,]*(?:\.\d+)?)$")
"""A price as 2018 writes it; ranges and scraps of pages, which it has too, are no price."""


@dataclass(frozen=True)
class Item:
    """An item: price in dollars, NaN where it is not known."""

    title: str
    brand: str
    price: float
    categories: tuple[str, ...]


def read_items(path: Path, release: int) -> dict[str, Item]:
    """The items of a file by id; of an id that occurs twice the first line. Errors: `DataError`."""
    rows: dict[str, Item] = {}
    key, brand, kinds = ("parent_asin", "store", "categories") if release == 2023 else (
        "asin", "brand", "category" if release == 2018 else "categories")
    lines = objects(path, ast.literal_eval, "Python literal") if release == 2014 else objects(path)
    for number, line in lines:
        item = text(path, number, line, key)
        if item not in rows:
            rows[item] = Item(_text(line.get("title")), _text(line.get(brand)), _price(line.get("price")),
                              _labels(line.get(kinds)))
    return rows


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _price(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = PRICE.match(value.strip()) if isinstance(value, str) else None
    return float(match.group(1).replace(",", "")) if match else float("nan")


def _labels(value: Any) -> tuple[str, ...]:
    """All names in a list, or in lists in a list, once each, in order."""
    if not isinstance(value, list):
        return ()
    flat = [label for each in value for label in (each if isinstance(each, list) else [each])]
    return tuple(dict.fromkeys(label for label in flat if isinstance(label, str) and label))
