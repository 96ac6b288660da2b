"""Checkpoints: all that a killed run needs to end as if it had not been killed.

One folder per epoch, written aside and renamed, so that a reader finds a whole checkpoint or none.
"""

import json
import os
import shutil
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
    """Write the checkpoint of an epoch and remove older ones. Errors: `RecordError` where it cannot be written."""
    target, part = folder / f"epoch-{epoch:06d}", folder / f".epoch-{epoch:06d}.{os.getpid()}"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, tensors in checkpoint.tensors.items():
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, part / f"{name}.safetensors")
        torch.save({"optimizer": checkpoint.optimizer, "generators": dict(checkpoint.generators)}, part / "state.pt")
        manifest = {"version": VERSION, "tensors": sorted(checkpoint.tensors), "progress": checkpoint.progress}
        (part / "progress.json").write_text(json.dumps(manifest))
        for path in part.iterdir():
            _sync(path)
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise RecordError(f"{folder}: the checkpoint cannot be written: {error}. Expected room and permission. "
                          "Free some space and run again: it goes on from the last whole one.") from error
    for path in _found(folder):
        if path != target:
            shutil.rmtree(path, ignore_errors=True)


def load(folder: Path, device: torch.device) -> Checkpoint | None:
    """The newest whole checkpoint in a folder, or None; a damaged one is passed over for an older one."""
    for path in reversed(_found(folder)):
        try:
            return _read(path, device)
        except (OSError, ValueError, KeyError, RuntimeError, EOFError, SafetensorError):
            continue
    return None


def _read(path: Path, device: torch.device) -> Checkpoint:
    manifest = json.loads((path / "progress.json").read_text())
    if manifest["version"] != VERSION:
        raise ValueError("written by another version")
    state = torch.load(path / "state.pt", weights_only=True, map_location="cpu")
    tensors = {name: load_file(path / f"{name}.safetensors", device=str(device)) for name in manifest["tensors"]}
    return Checkpoint(tensors, state["optimizer"], state["generators"], manifest["progress"])


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
