"""The explainer `causal_lm_text`: a causal language model chooses, or writes, the sentence of the evidence."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchbase import BuildContext
from benchbase.data import Explainer, Explanation, Names, Recommendation, quoted
from benchbase.errors import DataError

from .config import TextExplainerConfig
from .evidence import Features, choose, chosen, labelled, shared
from .language import CAUSAL, HOW

from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig  # isort: skip
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel  # isort: skip

SENTENCES = (
    "{item} is recommended because you chose {events}.",
    "You chose {events}, so you may like {item}.",
    "Since you chose {events}, {item} is here for you.",
    "After {events}, which you chose, {item} may be next.",
)
OF_FEATURES = (
    "You may like {item}: like {first}, it is {features}.",
    "{item} is {features}, as {first} is, which you chose.",
)
"""Sentences that are true of any evidence, and those of categories that it shares with the item."""

SILENT = "(nothing)"
"""What stands where a language model writes no printable character."""

MOST_TOKENS = 2048
"""Tokens read, at most, where a language model does not say how many it can."""


class CausalLMText(Explainer):
    """P(sentence | user, item, template): of the true sentences the one whose tokens are likeliest on average, or what
    the language model goes on with.

    Source: Ma et al. 2025, its explanations by a language model; user and item stand in the prompt by their names.
    """

    def __init__(self, config: TextExplainerConfig, context: BuildContext):
        self.config, self.names = config, Names(context.catalogue)
        self.model, self.tokenizer = _bytes_model() if not config.checkpoint else _read(config.checkpoint)
        self.model.requires_grad_(False).eval()

    def explain(self, recommendation: Recommendation) -> Explanation:
        asked, names = recommendation, self.names
        events = choose(self.config, asked, names)
        features = shared(asked, events[0], names)
        if self.config.decode == "free":
            return Explanation(events, self._written(self._prompt(asked, events, features)), features)
        said = {"item": quoted(names.item(asked.item)), "events": chosen(asked, events, names),
                "first": quoted(names.item(int(asked.past[events[0]]))),
                "features": labelled(features) if features else ""}
        choices: list[tuple[str, Features]] = [(each.format(**said), ()) for each in SENTENCES]
        choices += [(each.format(**said), features) for each in OF_FEATURES if features]
        likely = self._likelihood(self._prompt(asked, events, features), [text for text, _ in choices])
        text, named = choices[int(likely.argmax())]
        return Explanation(events, text, named)

    def _prompt(self, asked: Recommendation, events: tuple[int, ...], features: Features) -> str:
        item = quoted(self.names.item(asked.item))
        about = f" {item} is {labelled(features)}." if features else ""
        return (f"A user chose {chosen(asked, events, self.names)}. The recommendation is {item}.{about} "
                "In one sentence, tell the user why: ")

    def _likelihood(self, prompt: str, texts: Sequence[str]) -> Tensor:
        """The mean log-likelihood of the tokens of each text after the prompt, (n,), whose end alone is read where
        there is no room for all.
        """
        most = _positions(self.model)
        after = [self._tokens(text)[: most - 1] for text in texts]
        before = self._before(prompt, max(1, most - max(map(len, after))))
        rows = [torch.tensor([*before, *each]) for each in after]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # what stands behind a row is not seen in it
        with torch.no_grad():
            logits = self.model(input_ids=ids, use_cache=False).logits[:, len(before) - 1 : -1].float()
        told = logits.log_softmax(-1).gather(2, ids[:, len(before) :, None]).squeeze(2)
        lengths = torch.tensor([len(each) for each in after])
        own = torch.arange(told.shape[1]) < lengths[:, None]
        return (told * own).sum(1) / lengths  # type: ignore[no-any-return]

    def _written(self, prompt: str) -> str:
        """What the language model goes on with, the likeliest token at a time, up to the end of a line."""
        most = min(self.config.tokens, _positions(self.model) - 1)
        read = torch.tensor([self._before(prompt, _positions(self.model) - most)])
        return _line(self.tokenizer.decode(self._generated(read, most))) or SILENT

    def _generated(self, read: Tensor, most: int) -> list[int]:
        """Up to so many tokens after those read (1, n), as nothing but these parameters have it."""
        how = GenerationConfig(max_new_tokens=most, do_sample=False, pad_token_id=0,
                               eos_token_id=self.tokenizer.eos_token_id)
        with torch.no_grad():
            found = self.model.generate(read, attention_mask=torch.ones_like(read), generation_config=how)
        return found[0, read.shape[1] :].tolist()  # type: ignore[no-any-return]

    def _before(self, prompt: str, room: int) -> list[int]:
        """The tokens of a prompt, those of its end where there is no room for all, after that which opens a text."""
        opening = [] if self.tokenizer.bos_token_id is None or room < 2 else [self.tokenizer.bos_token_id]
        return [*opening, *self._tokens(prompt)[-(room - len(opening)) :]]

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))


class Bytes:
    """Bytes of UTF-8 as tokens, for a model that has no tokenizer."""

    bos_token_id = eos_token_id = None

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")


def _bytes_model() -> tuple[PreTrainedModel, Any]:
    """A small model over bytes, with weights drawn anew: it shows that all runs without any file."""
    config = LlamaConfig(
        vocab_size=256, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=MOST_TOKENS, bos_token_id=None, eos_token_id=None,
    )
    return LlamaForCausalLM(config), Bytes()


def why_not(config: TextExplainerConfig) -> None:
    """Nothing; errors: `DataError` where there is no language model, before anything is trained."""
    if config.checkpoint:
        CAUSAL.config(CAUSAL.folder(config.checkpoint))


def _read(name: str) -> tuple[PreTrainedModel, Any]:
    """The model of a folder and its tokenizer. Errors: `DataError`."""
    folder = CAUSAL.folder(name)
    with CAUSAL.reading(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, **HOW)
    model = CAUSAL.model(folder, AutoModelForCausalLM)
    some = tokenizer.encode(SENTENCES[0], add_special_tokens=False)
    if not some or max(some) >= model.config.vocab_size:  # where its files are absent, transformers makes an empty one
        raise DataError(f"{folder}: its tokenizer makes {some[:3] or 'nothing'} of a sentence. Expected tokens below "
                        f"{model.config.vocab_size}, the model's. Copy the files of the tokenizer too.")
    model.generation_config = GenerationConfig()  # its makers' may ask for anything
    return model, tokenizer


def _positions(model: PreTrainedModel) -> int:
    return min(MOST_TOKENS, getattr(model.config, "max_position_embeddings", MOST_TOKENS))


def _line(text: str) -> str:
    """The first line that says something, in printable characters."""
    lines = ("".join(each for each in line if each.isprintable()).strip() for line in text.splitlines())
    return next(filter(None, lines), "")[: Explanation.longest]
