"""Models of Hugging Face, read from folders that may come from anyone: nothing in them is executed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchbase.errors import BenchbaseError, DataError, brief

from .folders import ENCODER, WEIGHTS, find_folder

try:
    from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
    from transformers.utils import logging
except ImportError as error:
    raise BenchbaseError(f"llm4rec: language models need a library that is not installed ({error}). Expected "
                         "transformers. Install the extra: pip install 'benchbase-llm4rec[language]'.") from error

HOW: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Kind:
    """What a folder should hold, in the words of messages; `example`: a distribution that carries one; `unread`: where
    the names of weights begin that nobody reads, and that many are published without.
    """

    name: str
    example: str = ""
    unread: str | None = None

    def folder(self, name: str) -> Path:
        """Where it lies. Errors: `DataError`."""
        return find_folder(name, self.name, self.example)

    def config(self, folder: Path) -> PreTrainedConfig:
        """What the folder says of it. Errors: `DataError`."""
        with self.reading(folder):
            return AutoConfig.from_pretrained(folder, **HOW)

    def model(self, folder: Path, auto: Any, **how: Any) -> PreTrainedModel:
        """It, as `auto`, a class of transformers, makes it, in float32. Errors: `DataError`."""
        config = self.config(folder)
        with self.reading(folder), torch.random.fork_rng(devices=[]):  # what a file lacks is drawn
            model, told = auto.from_pretrained(folder, config=config, use_safetensors=True, dtype=torch.float32,
                                               output_loading_info=True, **HOW, **how)
        lacks = sorted(name for name in told["missing_keys"] if not self.unread or not name.startswith(self.unread))
        if lacks:
            raise DataError(f"{folder}: no {self.name} that can be read: {WEIGHTS} lacks {lacks[0]}, and {len(lacks)} "
                            "weights in all. Expected those that config.json describes. Copy it again.")
        return model

    @contextmanager
    def reading(self, folder: Path) -> Iterator[None]:
        """Turn what transformers says of a folder into an error of ours, and keep from it what it prints meanwhile."""
        loud, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        except Exception as error:  # a file of a stranger may break any of its assumptions
            raise DataError(f"{folder}: no {self.name} that can be read ({brief(error)}). Expected one of Hugging "
                            "Face, with its config.json. Copy it again.") from error
        finally:
            logging.set_verbosity(loud)
            if bars:
                logging.enable_progress_bar()


CAUSAL = Kind("causal language model")
SENTENCES = Kind(*ENCODER, unread="pooler.")
"""Of sentence encoders the pooler is not read: vectors are means over tokens."""
