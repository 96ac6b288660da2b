"""TFRecord files with `tf.train.Example`s: framing and wire format, as far as lists of whole numbers need them.

Nothing in a file is ever run, and no length in it is believed: a record is read only up to `LONGEST` bytes. The
checksums (CRC-32C) are passed over: gzip, which the files are packed with, has its own.
Source: github.com/tensorflow/tensorflow, `tensorflow/core/example/feature.proto` and `core/lib/io/record_writer.h`;
protobuf.dev/programming-guides/encoding.
"""

import struct
from collections.abc import Iterator
from io import BufferedIOBase

import numpy as np

LONGEST = 2**20
"""Bytes of a record."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types; groups, 3 and 4, are older than these files."""

LONGEST_VARINT = 10
"""Bytes of a whole number of 64 bits, 7 in each."""


def records(stream: BufferedIOBase) -> Iterator[bytes]:
    """The records of an unpacked file. Errors: `ValueError` where one is cut or too long."""
    while head := stream.read(12):
        if len(head) < 12:
            raise ValueError(f"{len(head)} bytes where the head of a record takes 12")
        length = struct.unpack("<Q", head[:8])[0]
        if length > LONGEST:
            raise ValueError(f"it has {length} bytes, more than {LONGEST}")
        record = stream.read(length + 4)
        if len(record) < length + 4:
            raise ValueError(f"{len(record)} bytes where its head says {length} and 4 of a checksum")
        yield record[:length]


def features(record: bytes) -> dict[str, np.ndarray]:
    """The lists of whole numbers of an example by name, int64. Errors: `ValueError` where it is none."""
    found = {}
    for entry in (entry for part in _parts(record, 1) for entry in _parts(part, 1)):
        names, values = _parts(entry, 1), _parts(entry, 2)
        name = (names[-1] if names else b"").decode(errors="replace")
        for numbers in (numbers for value in values for numbers in _parts(value, 3)):
            found[name] = varints(b"".join(_parts(numbers, 1, loose=True)))
    return found


def varints(data: bytes) -> np.ndarray:
    """Whole numbers of 64 bits, one after another, int64. Errors: `ValueError` where one is cut or too long."""
    if not data:
        return np.zeros(0, np.int64)
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 128)
    if octets[-1] >= 128:
        raise ValueError("a number is cut")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > LONGEST_VARINT:
        raise ValueError(f"a number has {lengths.max()} bytes")
    place = (np.arange(len(octets)) - np.repeat(starts, lengths)).astype(np.uint64)
    sevens = (octets & 127).astype(np.uint64) << (place * np.uint64(7))
    return np.add.reduceat(sevens, starts).view(np.int64)


def _parts(message: bytes, wanted: int, loose: bool = False) -> list[bytes]:
    """The byte strings that are field `wanted` of a message; `loose`: single numbers too, as they stand."""
    found, at = [], 0
    while at < len(message):
        key, at = _number(message, at)
        kind, start = key & 7, at
        if kind == VARINT:
            _, at = _number(message, at)
        elif kind == BYTES:
            length, start = _number(message, at)
            at = start + length
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(message):
            raise ValueError(f"a field ends {at - len(message)} bytes after its message")
        if key >> 3 == wanted and (kind == BYTES or (loose and kind == VARINT)):
            found.append(message[start:at])
    return found


def _number(message: bytes, at: int) -> tuple[int, int]:
    """The number that stands at a place, and where the next field is."""
    value = 0
    for place, octet in enumerate(message[at : at + LONGEST_VARINT]):
        value |= (octet & 127) << (7 * place)
        if octet < 128:
            return value, at + place + 1
    raise ValueError("a number is cut or too long")
