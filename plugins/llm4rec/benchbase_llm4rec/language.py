"""Language models of Hugging Face, read from folders that may come from anyone: nothing in them is executed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchbase.errors import BenchbaseError, DataError, brief

from .folders import WEIGHTS, find_folder

try:
    from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
    from transformers.utils import logging
except ImportError as error:
    raise BenchbaseError(f"llm4rec: language models need a library that is not installed ({error}). Expected "
                         "transformers. Install the extra: pip install 'benchbase-llm4rec[language]'.") from error

WHAT = "causal language model"


def folder_of(name: str) -> Path:
    """Where a language model lies. Errors: `DataError`."""
    return find_folder(name, WHAT)


def read_model(folder: Path, auto: Any, **how: Any) -> PreTrainedModel:
    """The model of a folder as `auto`, a class of transformers, makes it, in float32. Errors: `DataError`."""
    config = read_config(folder)
    with reading(folder), torch.random.fork_rng(devices=[]):  # what a file lacks is drawn
        model, told = auto.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True,
            local_files_only=True, trust_remote_code=False, **how,
        )
    if lacks := sorted(told["missing_keys"]):
        raise DataError(f"{folder}: no {WHAT} that can be read: {WEIGHTS} lacks {lacks[0]}, and {len(lacks)} weights "
                        "in all. Expected those that config.json describes. Copy it again.")
    return model


def read_config(folder: Path) -> PreTrainedConfig:
    """What a folder says of its model. Errors: `DataError`."""
    with reading(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what transformers says of a folder into an error of ours, and keep from it what it prints meanwhile."""
    loud, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except Exception as error:  # a file of a stranger may break any of its assumptions
        raise DataError(f"{folder}: no {WHAT} that can be read ({brief(error)}). Expected one of Hugging Face, with "
                        "its config.json. Copy it again.") from error
    finally:
        logging.set_verbosity(loud)
        if bars:
            logging.enable_progress_bar()
