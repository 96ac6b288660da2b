"""Features: what a catalogue says of items, as numbers that a model reads; nothing here is learned by gradients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchbase import BuildContext
from benchbase.data import Catalogue, Categories

from .config import MultimodalConfig, TextConfig
from .texts import WORD, text_vectors, why_no_words

KINDS = ("text", "categories", "numbers", "times", "place", "vectors")
"""The kinds of modalities, as the parameters name them, in the order in which they stand."""

LARGEST = 1e30
"""The largest number that is read: squares of greater ones are beyond what is calculated with."""

WAVES = (1, 2, 4, 8)
"""Periods in the range of a time or a coordinate, of which a sine and a cosine are read."""


@dataclass(frozen=True)
class Dense:
    """One modality as numbers: values (n_items, d) float32, 0 where an item has none; known (n_items,) bool."""

    values: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Labels:
    """One modality as sets of labels, of one column or more; known (n_items,) bool: in some column it has one."""

    columns: tuple[Categories, ...]
    known: np.ndarray


def modalities(config: MultimodalConfig, catalogue: Catalogue) -> dict[str, Dense | Labels]:
    """What is known of every item, by modality; vectors under their own names. `why_not` says whether that can be.

    Errors: `DataError` where text cannot be made numbers.
    """
    found: dict[str, Dense | Labels] = {}
    if config.text:
        found["text"] = text_of(config, catalogue)
    if config.categories:
        columns = tuple(catalogue.categories[name] for name in config.categories)
        known = np.any([np.diff(each.offsets[1:]) > 0 for each in columns], axis=0)
        found["categories"] = Labels(columns, known)
    if config.numbers:
        found["numbers"] = _joined([_standardised(each) for each in _numbers(catalogue, config.numbers)])
    if config.times:
        found["times"] = _joined([_waves(each) for each in _numbers(catalogue, config.times)])
    if config.place:
        found["place"] = _place(*_numbers(catalogue, config.place))
    for name in config.vectors:
        found[f"vectors {name}"] = _scaled(catalogue.vectors[name][1:])
    return found


def why_not(config: MultimodalConfig, context: BuildContext) -> str | None:
    """Why a data set does not hold what the parameters name, which is there by name; None where it does."""
    return next(_reasons(config, context.catalogue), None)


def _reasons(config: MultimodalConfig, catalogue: Catalogue) -> Iterator[str]:
    if not any(getattr(config, kind) for kind in KINDS):
        yield (f"multimodal: it names nothing that is known of items. Expected some of {', '.join(KINDS)}. "
               f"{_at_hand(catalogue)}")
    for kind in ("numbers", "times", "place"):
        for name in getattr(config, kind):
            if catalogue.columns[name].dtype.kind not in "iuf":
                yield f"multimodal.{kind}: the column {name} holds text. Expected numbers. {_at_hand(catalogue)}"
    for kind in ("numbers", "times", "place"):
        for name in getattr(config, kind):
            if np.isnan(_number(catalogue, name)).all():
                yield f"multimodal.{kind}: no item has a {name}. Expected some. Leave it out."
            if (worst := np.nanmax(np.abs(_number(catalogue, name)))) > LARGEST:
                yield (f"multimodal.{kind}: {name} goes to {worst:g}. Expected numbers up to {LARGEST:g}. Rescale it, "
                       "or leave it out.")
    if config.place and not np.logical_and(*(~np.isnan(each) for each in _numbers(catalogue, config.place))).any():
        yield f"multimodal.place: no item has both {' and '.join(config.place)}. Expected some. Leave it out."
    for name, most in zip(config.place, (90, 180), strict=False):
        if (worst := np.nanmax(np.abs(_number(catalogue, name)))) > most:
            yield f"multimodal.place: {name} goes to {worst:g}. Expected degrees, up to {most}. Name another column."
    for name in config.categories:
        if not catalogue.categories[name].labels:
            yield f"multimodal.categories: no item has a {name}. Expected some. Leave it out."
    for name in config.vectors:
        if np.isnan(catalogue.vectors[name]).all():
            yield f"multimodal.vectors: no item has {name}. Expected some. Leave it out."
    if config.text and (reason := why_no_text(config, catalogue, "multimodal")):
        yield reason


def why_no_text(config: TextConfig, catalogue: Catalogue, part: str) -> str | None:
    """Why the items' text cannot be read, as the part of this name says it; None where it can."""
    if not config.text:
        return f"{part}.text: it names no column. Expected some. {_at_hand(catalogue)}"
    for name in config.text:
        if catalogue.columns[name].dtype.kind != "O":
            return f"{part}.text: the column {name} holds numbers. Expected text. {_at_hand(catalogue)}"
    return why_no_words(config, _texts(config.text, catalogue), part)


def _at_hand(catalogue: Catalogue) -> str:
    """What the data set says of items, by what it can be named as."""
    text = [name for name, column in catalogue.columns.items() if column.dtype.kind == "O"]
    numbers = [name for name in catalogue.columns if name not in text]
    told = {"text": text, "numbers": numbers, "categories": list(catalogue.categories),
            "vectors": list(catalogue.vectors)}
    said = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in told.items() if names)
    return f"The data set has {said or 'nothing'}."


def _texts(columns: Sequence[str], catalogue: Catalogue) -> list[str]:
    """The text of every item, its columns one after another."""
    rows = zip(*(catalogue.columns[name][1:].tolist() for name in columns), strict=True)
    return [" ".join(part for each in row if (part := str(each).strip())) for row in rows]


def text_of(config: TextConfig, catalogue: Catalogue) -> Dense:
    """Vectors of the items' text, each as long as the square root of its width, so that a number in it is about 1."""
    texts = _texts(config.text, catalogue)
    known = np.array([bool(WORD.search(text)) for text in texts])
    made = text_vectors(config, [text for text, has_words in zip(texts, known, strict=True) if has_words])
    values = np.zeros((len(texts), made.shape[1]), np.float32)
    length = np.linalg.norm(made, axis=1, keepdims=True)
    values[known] = made / np.maximum(length, 1e-12) * np.sqrt(made.shape[1])
    return Dense(values, known)


def _number(catalogue: Catalogue, name: str) -> np.ndarray:
    """A column of numbers (n_items,) float64, NaN where it is not known."""
    column = catalogue.columns[name][1:]
    values = column.astype(np.float64)
    missing = column == -1 if column.dtype.kind in "iu" else ~np.isfinite(values)
    return np.where(missing, np.nan, values)


def _numbers(catalogue: Catalogue, names: Sequence[str]) -> list[np.ndarray]:
    return [_number(catalogue, name) for name in names]


def _joined(parts: Sequence[Dense]) -> Dense:
    """Columns side by side, with one more for each that says whether it is known, where that is not told by all."""
    values = np.concatenate([np.column_stack([each.values, each.known]) for each in parts], axis=1)
    known = np.any([each.known for each in parts], axis=0)
    return Dense((values * known[:, None]).astype(np.float32), known)


def _standardised(column: np.ndarray) -> Dense:
    """A column less its mean, by its standard deviation."""
    known = ~np.isnan(column)
    centred = np.where(known, column - np.nanmean(column), 0)
    spread = np.sqrt(np.mean(centred[known] ** 2))
    return Dense((centred / (spread or 1.0))[:, None], known)


def _waves(column: np.ndarray) -> Dense:
    """A column as its place in its range, -1 to 1, and as waves over it: what is near and what is far both show."""
    known = ~np.isnan(column)
    low, high = np.nanmin(column), np.nanmax(column)
    place = np.where(known, (np.where(known, column, low) - low) / ((high - low) or 1.0), 0)
    angles = 2 * np.pi * place[:, None] * np.array(WAVES)
    values = np.column_stack([2 * place - 1, np.sin(angles), np.cos(angles)])
    return Dense(values * known[:, None], known)


def _place(latitude: np.ndarray, longitude: np.ndarray) -> Dense:
    """A point on the sphere, where 180 degrees east is 180 west, and waves over the range, which tell streets apart."""
    known = ~(np.isnan(latitude) | np.isnan(longitude))
    north, east = (np.radians(np.where(known, each, 0)) for each in (latitude, longitude))
    sphere = np.column_stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])
    parts = [sphere, *(_waves(np.where(known, each, np.nan)).values for each in (latitude, longitude))]
    return Dense((np.concatenate(parts, axis=1) * known[:, None]).astype(np.float32), known)


def _scaled(vectors: np.ndarray) -> Dense:
    """Vectors by their root mean square; those of NaN are not known."""
    known = ~np.isnan(vectors).any(axis=1)
    values = np.where(known[:, None], vectors, 0).astype(np.float64)
    size = np.sqrt(np.mean(values[known] ** 2))
    return Dense((values / (size or 1.0)).astype(np.float32), known)
