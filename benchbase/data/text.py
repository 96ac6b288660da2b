"""Text: open a source's text file, packed or not, and tell all damage to it as a `DataError` that names the file."""

import codecs
import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError


def open_text(path: Path, encoding: str = "utf-8", newline: str | None = None) -> Any:
    """A file's text stream, unpacked where its name ends in `.gz`, no byte order mark; `newline` as in `open`."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    if codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"
    return opener(path, "rt", encoding=encoding, newline=newline)


@contextmanager
def reading(path: Path, encoding: str = "utf-8") -> Iterator[None]:
    """Around whatever reads a text file. Errors: `DataError` where it is damaged, unreadable or in another encoding."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not {encoding} text ({error.reason}). Expected {encoding}. Set encoding, for example to latin-1."
        ) from None
    except UnicodeError as error:
        raise DataError(
            f"{path}: not {encoding} text ({error}). Expected {encoding}. Set encoding to another one, with its byte "
            "order where it has one, such as utf-16-le."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}). Expected a whole one. Copy it again.") from None
    except csv.Error as error:
        raise DataError(f"{path}: no table ({error}). Expected text with separators. Check the path.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}). Expected a readable file. Copy it again.") from None
