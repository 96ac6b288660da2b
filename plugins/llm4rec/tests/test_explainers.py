"""The explainers: which events are evidence, what is said of them, and that a language model has a say in the words
alone.
"""

import numpy as np
import pytest
import torch
from benchbase_llm4rec import benchbase_explainers, causal_lm_text
from benchbase_llm4rec.evidence import choose, listed, shared

from benchbase.data import Names, Recommendation
from benchbase.errors import DataError, Refusal
from benchbase.testing.build import make_experiment
from benchbase.testing.contracts import ExplainerContract
from benchbase.testing.tiny import tiny_causal, tiny_pointwise, tiny_softmax
from benchbase.testing.world import tiny_context

transformers = pytest.importorskip("transformers")

SPECS = {spec.name: spec for spec in benchbase_explainers()}
TEMPLATE, TEXT = SPECS["template"], SPECS["causal_lm_text"]
CONTEXT = tiny_context()
NAMES = Names(CONTEXT.catalogue)
torch.set_num_threads(1)


class TestTemplate(ExplainerContract):
    spec = TEMPLATE


class TestTemplateOfAttention(ExplainerContract):
    spec = TEMPLATE
    config = TEMPLATE.config(evidence="attention", events=3)


class TestTemplateOfCategories(ExplainerContract):
    spec = TEMPLATE
    config = TEMPLATE.config(evidence="categories", events=10)


class TestText(ExplainerContract):
    spec = TEXT


class TestTextOfRecentEvents(ExplainerContract):
    spec = TEXT
    config = TEXT.config(evidence="recent", events=1)


def asked(item=4, past=(1, 2, 3, 2, 5), similarity=None, attention=None):
    n = len(past)
    return Recommendation(item, np.array(past, np.int32), np.zeros(n, np.int64),
                          np.zeros(n, np.float32) if similarity is None else np.array(similarity, np.float32),
                          None if attention is None else np.array(attention, np.float32))


@pytest.mark.parametrize(("evidence", "events", "expected"), [
    ("recent", 2, (4, 3)), ("recent", 10, (4, 3, 2, 1)),
    ("similarity", 2, (1, 4)), ("similarity", 3, (1, 4, 3)),
    ("attention", 2, (0, 2)), ("attention", 1, (0,)),
])
def test_evidence_is_the_strongest_and_the_latest_where_level(evidence, events, expected):
    config = TEMPLATE.config(evidence=evidence, events=events)
    given = asked(similarity=[0.0, 0.9, -1.0, 0.5, 0.5], attention=[0.5, 0.1, 0.3, 0.1, 0.0])
    assert choose(config, given, NAMES) == expected


def test_evidence_of_categories_shares_most_with_the_item():
    own = {item: set(NAMES.labels(item)) for item in range(1, 31)}
    item = max(own, key=lambda each: len(own[each]))
    given = asked(item=item, past=range(1, 31))
    found = choose(TEMPLATE.config(evidence="categories", events=10), given, NAMES)
    strength = [len(own[item] & own[each]) for each in range(1, 31)]
    assert [strength[each] for each in found] == sorted(strength, reverse=True)[:10]
    assert all(strength[each] <= strength[found[-1]] for each in set(range(30)) - set(found))


def test_what_is_shared_is_of_the_item_and_of_the_event():
    for item in range(1, 31):
        for event, past in enumerate((1, 2, 3)):
            common = set(NAMES.labels(item)) & set(NAMES.labels(past))
            found = shared(asked(item=item, past=(1, 2, 3)), event, NAMES)
            assert set(found) <= common and len(found) == min(2, len(common))


def test_the_template_says_it_in_full():
    own = {item: set(NAMES.labels(item)) for item in range(1, 31)}
    item, other = next((one, two) for one in own for two in own if one != two and own[one] & own[two])
    alone = next(each for each in own if not own[each] & own[item])
    explainer = TEMPLATE.build(TEMPLATE.config(evidence="recent"), CONTEXT)
    said = explainer.explain(asked(item=item, past=(alone, other, other)))
    labels = " and ".join(f"“{label}”" for _, label in said.features)
    name, chosen = NAMES.item(item), NAMES.item(other)
    assert said.text == f"“{name}” is recommended because you chose “{chosen}”; like “{chosen}”, it is {labels}."
    assert said.events == (2, 1) and said.features
    said = explainer.explain(asked(item=item, past=(other, other, alone)))
    assert said.text == f"“{name}” is recommended because you chose “{NAMES.item(alone)}” and “{chosen}”."
    assert said.features == ()
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize("positions", [2048, 60, 8])
def test_of_the_true_sentences_the_likeliest_is_chosen(positions, monkeypatch):
    """By another route: one sentence at a time, token by token."""
    monkeypatch.setattr(causal_lm_text, "MOST_TOKENS", positions)
    torch.manual_seed(0)
    explainer = TEXT.build(TEXT.config(evidence="recent"), CONTEXT)
    with torch.no_grad():
        for parameter in explainer.model.parameters():
            parameter.mul_(20)
    texts, prompt = ["You chose “1”.", "a", "“4” – “5” and more of it", "because ✓"], "A user chose “1”, then “2”: "
    found = explainer._likelihood(prompt, texts)
    most = max(len(text.encode()[: positions - 1]) for text in texts)
    before = list(prompt.encode())[-max(1, positions - most):]
    for text, value in zip(texts, found.tolist(), strict=True):
        ids, told = before[:], []
        for token in text.encode()[: positions - 1]:
            logits = explainer.model(input_ids=torch.tensor([ids])).logits[0, -1]
            told.append(float(logits.log_softmax(-1)[token]))
            ids.append(token)
        assert value == pytest.approx(np.mean(told), abs=1e-3)
    for item in range(1, 31):
        given = asked(item=item)
        said, texts = explainer.explain(given), []
        monkeypatch.setattr(explainer, "_likelihood",
                            lambda prompt, given, texts=texts: texts.extend(given) or torch.arange(len(given)))
        explainer.explain(given)
        monkeypatch.undo()
        monkeypatch.setattr(causal_lm_text, "MOST_TOKENS", positions)
        assert said.text in texts and len(texts) in (4, 6) and len(set(texts)) == len(texts)


@pytest.mark.parametrize(("writes", "expected"), [
    (b"\n\nBecause.\nAnd", "Because."), (b"\x00\x01", "(nothing)"), (b"", "(nothing)"),
    (b"\xff\xfeok", "\ufffd\ufffdok"), (b"a\x00b\tc  ", "abc"), (b"x" * 2000, "x" * 1000),
])
def test_free_text_is_one_line_whatever_the_model_writes(writes, expected, monkeypatch):
    torch.manual_seed(1)
    explainer = TEXT.build(TEXT.config(decode="free"), CONTEXT)
    monkeypatch.setattr(explainer, "_generated", lambda read, most: list(writes))
    assert explainer.explain(asked()).text == expected


@pytest.mark.parametrize("positions", [2048, 10, 2])
def test_free_text_is_the_likeliest_token_after_token(positions, monkeypatch):
    monkeypatch.setattr(causal_lm_text, "MOST_TOKENS", positions)
    torch.manual_seed(1)
    explainer, seen = TEXT.build(TEXT.config(decode="free", tokens=5), CONTEXT), []
    generated = explainer._generated
    monkeypatch.setattr(explainer, "_generated", lambda read, most: seen.append((read, generated(read, most))) or
                        seen[-1][1])
    explainer.explain(asked())
    (read, found), = seen
    assert len(found) == min(5, positions - 1) and read.shape[1] <= positions - len(found)
    ids = read[0].tolist()
    for token in found:
        assert int(explainer.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()) == token
        ids.append(token)


def test_free_text_runs_end_to_end_and_is_the_same_again():
    torch.manual_seed(1)
    explainer = TEXT.build(TEXT.config(decode="free", tokens=12), CONTEXT)
    first = explainer.explain(asked())
    assert explainer.explain(asked()) == first and first.text


@pytest.fixture
def checkpoint(tmp_path):
    """A language model with its tokenizer, as its makers save them."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "chose", "you", "item", ".", "“", "”", *"abcdefghij"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(tmp_path / "lm")
    torch.manual_seed(2)
    transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=len(words), n_embd=16, n_layer=1, n_head=2, n_positions=64)).save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


def test_a_checkpoint_takes_the_place_of_the_small_model(checkpoint):
    for decode in ("constrained", "free"):
        explainer = TEXT.build(TEXT.config(checkpoint=str(checkpoint), decode=decode, tokens=5), CONTEXT)
        assert explainer.explain(asked()).text and explainer.model.config.vocab_size == 17
    (checkpoint / "generation_config.json").write_text('{"repetition_penalty": 50.0, "min_length": 9}')
    again = TEXT.build(TEXT.config(checkpoint=str(checkpoint), decode="free", tokens=5), CONTEXT)
    assert again.explain(asked()).text == explainer.explain(asked()).text
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.Tok", null]}}')
    with pytest.raises(DataError, match=r"its tokenizer makes nothing of a sentence\. Expected tokens below 17, the "
                       r"model's\. Copy the files of the tokenizer too\."):
        TEXT.build(TEXT.config(checkpoint=str(checkpoint)), CONTEXT)
    with pytest.raises(DataError, match="nowhere: no causal language model"):
        TEXT.build(TEXT.config(checkpoint="nowhere"), CONTEXT)


def test_attention_as_evidence_fits_where_it_has_shares():
    attending = (TEMPLATE, {"evidence": "attention"})
    make_experiment(tiny_causal, objectives=[tiny_softmax], explainers=[attending])
    with pytest.raises(Refusal, match="template does not fit the pointwise attention of tiny_pointwise"):
        make_experiment(tiny_pointwise, objectives=[tiny_softmax], explainers=[attending])
    make_experiment(tiny_pointwise, objectives=[tiny_softmax], explainers=[TEMPLATE])
