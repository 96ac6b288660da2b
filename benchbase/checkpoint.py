"""Checkpoints: all that a killed run needs to end as if it had not been killed.

One folder per epoch, written aside and renamed, so that a reader finds a whole checkpoint or none.
"""

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import RecordError

VERSION = 1

MANIFEST = "manifest.json"
"""Names the other files with their checksums; it is written last."""


@dataclass
class Checkpoint:
    """The state of training after an epoch.

    `tensors`: named states (model, best, combiner), each name -> tensor; `optimizer`: its state_dict;
    `generators`: states of all random generators; `progress`: plain JSON.
    """

    tensors: Mapping[str, Mapping[str, Tensor]]
    optimizer: Mapping[str, Any]
    generators: Mapping[str, Tensor]
    progress: dict[str, Any] = field(default_factory=dict)


def save(folder: Path, epoch: int, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of an epoch and remove all others. Errors: `RecordError` where it cannot be written."""
    target, part = folder / f"epoch-{epoch:06d}", folder / f".epoch-{epoch:06d}.{os.getpid()}"
    try:
        _write(part, checkpoint)
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
        _sync(folder)
    except (OSError, SafetensorError, RuntimeError) as error:  # the last two are what a full disk is to libraries
        shutil.rmtree(part, ignore_errors=True)
        raise RecordError(f"{folder}: the checkpoint cannot be written: {error}. Expected room and permission. "
                          "Free some space and run again: it goes on from the last whole one.") from error
    for path in (*_found(folder), *folder.glob(".epoch-*")):
        if path != target:
            shutil.rmtree(path, ignore_errors=True)


def load(folder: Path, device: torch.device) -> Checkpoint | None:
    """The newest whole checkpoint in a folder, or None; a damaged one is passed over for an older one."""
    for path in reversed(_found(folder)):
        try:
            return _read(path, device)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def _write(part: Path, checkpoint: Checkpoint) -> None:
    """Every file of a checkpoint, and the manifest, down to the disk."""
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, tensors in checkpoint.tensors.items():
        save_file({key: _own(tensor) for key, tensor in tensors.items()}, part / f"{name}.safetensors")
    torch.save({"optimizer": checkpoint.optimizer, "generators": dict(checkpoint.generators)}, part / "state.pt")
    (part / "progress.json").write_text(json.dumps(checkpoint.progress))
    manifest = {"version": VERSION, "files": {path.name: _checksum(path) for path in part.iterdir()}}
    (part / MANIFEST).write_text(json.dumps(manifest))
    for path in (*part.iterdir(), part):
        _sync(path)


def _read(path: Path, device: torch.device) -> Checkpoint:
    manifest = json.loads((path / MANIFEST).read_text())
    if manifest["version"] != VERSION:
        raise ValueError("written by another version")
    for name, checksum in manifest["files"].items():
        if _checksum(path / name) != checksum:
            raise ValueError(f"{name} is damaged")
    state = torch.load(path / "state.pt", weights_only=True, map_location="cpu")
    tensors = {file.stem: load_file(file, device=str(device)) for file in path.glob("*.safetensors")}
    progress = json.loads((path / "progress.json").read_text())
    return Checkpoint(tensors, state["optimizer"], state["generators"], progress)


def _own(tensor: Tensor) -> Tensor:
    """A copy on the CPU: states may share memory, which the file format refuses."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _found(folder: Path) -> list[Path]:
    """Checkpoints of a folder, oldest first."""
    return sorted(path for path in folder.glob("epoch-*") if path.is_dir()) if folder.is_dir() else []


def _sync(path: Path) -> None:
    """Bring a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
