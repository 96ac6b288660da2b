"""Vectors of texts: TF-IDF and a truncated SVD, which need no weights, or a sentence encoder that is at hand."""

import hashlib
import importlib.metadata
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchbase.data import kept
from benchbase.errors import BenchbaseError

from .config import TextConfig
from .folders import ENCODER, find_folder

VERSION = 1
"""Of the vectors made here; raise it when the same text gets others."""

WORD = re.compile(r"\w")
BATCH = 64
MOST_TOKENS = 256
"""Tokens of a text that are read, where the sentence encoder does not say how many."""


def text_vectors(config: TextConfig, texts: Sequence[str]) -> np.ndarray:
    """Vectors (n, d) float32 of texts, made once for the same texts by the same means.

    Errors: `DataError` where the encoder cannot be read, `BenchbaseError` where a library is absent.
    """
    told = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    if not config.sentences:
        how: dict[str, Any] = {"tfidf": config.text_width, "library": _version("scikit-learn")}
        make = partial(tfidf_vectors, texts, config.text_width)
    else:
        folder = find_folder(config.sentences, *ENCODER)
        how = {"sentences": {path.name: _digest(path) for path in sorted(folder.glob("*.*")) if path.is_file()},
               "library": _version("transformers")}
        make = partial(sentence_vectors, texts, folder)
    found = kept("llm4rec-texts", {"version": VERSION, "texts": told, **how}, lambda: {"vectors": make()})
    return found["vectors"]


def why_no_words(config: TextConfig, texts: Sequence[str], part: str) -> str | None:
    """Why there is nothing to make vectors of, as the part of this name says it, or None."""
    if not any(map(WORD.search, texts)):
        return f"{part}.text: no item has a word in {', '.join(config.text)}. Expected some. Leave it out."
    return None


def tfidf_vectors(texts: Sequence[str], width: int) -> np.ndarray:
    """The left factors of a truncated SVD of TF-IDF (n, at most `width`): latent semantic analysis.

    Source: Deerwester et al. 1990, Indexing by latent semantic analysis; logarithmic counts.
    """
    try:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise BenchbaseError(f"llm4rec: text needs a library that is not installed ({error}). Expected "
                             "scikit-learn. Install the extra: pip install 'benchbase-llm4rec[text]'.") from error
    counts = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+", dtype=np.float64).fit_transform(texts)
    if counts.shape[1] <= width:  # nothing to reduce
        return np.asarray(counts.toarray(), np.float32)
    factors = TruncatedSVD(min(width, counts.shape[0]), n_iter=7, random_state=0)
    return np.asarray(factors.fit_transform(counts), np.float32)


def sentence_vectors(texts: Sequence[str], folder: Path) -> np.ndarray:
    """The mean of the encoder's last states over the tokens of each text, of length 1, (n, d) float32.

    Source: Reimers and Gurevych 2019, Sentence-BERT. Errors: `DataError` where the folder holds no such encoder,
    `BenchbaseError` where transformers is not installed.
    """
    import torch

    from .language import HOW, SENTENCES

    from transformers import AutoModel, AutoTokenizer  # isort: skip  # language says what to install without it

    with SENTENCES.reading(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, **HOW)
    model = SENTENCES.model(folder, AutoModel)
    model.eval()
    most = min(MOST_TOKENS, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", MOST_TOKENS))
    found = np.zeros((len(texts), model.config.hidden_size), np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            read = tokenizer([texts[row] for row in some], padding=True, truncation=True, max_length=most,
                             return_tensors="pt")
            states = model(**read).last_hidden_state
            valid = read["attention_mask"].unsqueeze(-1).to(states.dtype)
            mean = (states * valid).sum(1) / valid.sum(1).clamp_min(1)
            found[some] = torch.nn.functional.normalize(mean, dim=-1).numpy()
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _version(distribution: str) -> str:
    """The version of a library, whose vectors may differ from those of another; "" where it is absent."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
