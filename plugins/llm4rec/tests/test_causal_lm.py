"""The backbone `causal_lm`: it is the language model it holds, attention in it is the core's, and what it cannot honour
it refuses.
"""

import json
import re
import sys
from dataclasses import replace

import pytest
import torch
from benchbase_llm4rec import benchbase_backbones
from pydantic import ValidationError

from benchbase.errors import BenchbaseError, DataError, Refusal
from benchbase.nn import Modifier, PrefixTokens
from benchbase.specs import ModifierSpec
from benchbase.testing.build import make_model, train_step
from benchbase.testing.checking import rewound
from benchbase.testing.tiny import tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_context

transformers = pytest.importorskip("transformers")

SPEC = benchbase_backbones()[0]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24, "vocab_size": 11,
         "max_position_embeddings": 64, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
torch.set_num_threads(1)


def save(folder, kind="llama", **more):
    """A causal language model with words, saved as its makers save theirs; without its head, in float64."""
    torch.manual_seed(3)
    config = transformers.AutoConfig.for_model(kind, **SIZES | more)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(folder)
    return model.base_model.double()


def build(context=None, modifiers=(), **config):
    """In float64, with item vectors so large that states depend on what attention gives."""
    model = make_model(SPEC, {"width": 16, "dropout": 0.0} | config, objectives=[tiny_softmax], context=context,
                       modifiers=modifiers).double()
    with torch.no_grad():
        model.embedding.table.mul_(30)
    return model


@pytest.mark.parametrize(("kind", "more"), [
    ("llama", {}), ("llama", {"num_key_value_heads": 2}), ("gpt2", {}), ("qwen2", {"num_key_value_heads": 1}),
    ("qwen3", {"head_dim": 8, "num_key_value_heads": 2}), ("mistral", {"sliding_window": 8, "num_key_value_heads": 2}),
    ("gemma", {"head_dim": 4, "num_key_value_heads": 1}), ("phi", {}), ("gpt_neox", {}), ("olmo2", {}),
    ("starcoder2", {"num_key_value_heads": 2}),
])
def test_states_are_those_of_the_language_model(tmp_path, kind, more):
    """Of a padded batch, row by row, as the model's own attention, mask and positions have them; gradients too."""
    own = save(tmp_path / "lm", kind, **more)
    model, batch = build(checkpoint=str(tmp_path / "lm")), tiny_batch()[0]
    found = model.encode(batch, "score").states.after
    vectors = model.items("score")(batch.items).detach()
    total, expected_total = 0.0, 0.0
    for row, length in enumerate(batch.lengths.tolist()):
        positions = torch.arange(1, length + 1)[None]
        expected = own(inputs_embeds=vectors[row : row + 1, :length], position_ids=positions).last_hidden_state[0]
        torch.testing.assert_close(found[row, :length], expected, rtol=1e-5, atol=1e-5)
        weight = torch.arange(expected.numel()).view_as(expected).sin()
        total = total + (found[row, :length] * weight).sum()
        expected_total = expected_total + (expected * weight).sum()
    total.backward()
    expected_total.backward()
    given = dict(model.backbone.language.named_parameters())
    gradients = {name: parameter.grad for name, parameter in own.named_parameters() if parameter.grad is not None}
    assert len(gradients) >= 10
    for name, gradient in gradients.items():
        torch.testing.assert_close(given[name].grad, gradient, rtol=1e-4, atol=1e-5)


class Shove(Modifier):
    """Three tokens before all events."""

    def prefix(self, ctx):
        return PrefixTokens(ctx.embed(torch.tensor([[1, 2, 3]])))


SHOVE = ModifierSpec(name="shove", config=SPEC.config.__base__, build=lambda config, context: Shove(), source="tests",
                     sites=frozenset({"prefix"}))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_prefix_moves_no_event_to_another_position(architecture):
    batch, seen = tiny_batch()[0], []
    for modifiers in ((), (SHOVE,)):
        model = build(modifiers=modifiers, architecture=architecture)
        model.backbone.language.register_forward_pre_hook(
            lambda module, given, named: seen.append(named["position_ids"]), with_kwargs=True)
        model.encode(batch, "score")
    plain, shoved = seen
    assert (shoved[:, :3] == 0).all() and (shoved[:, 3:] == plain).all()
    assert plain[0].tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_what_learns(tmp_path):
    save(tmp_path / "lm")
    before = build(checkpoint=str(tmp_path / "lm"))
    batch = tiny_batch()[0]
    expected = before.encode(batch, "score").states.after
    for tune, some in (("all", lambda name: True), ("none", lambda name: False),
                       ("adapters", lambda name: "lora_" in name)):
        model = build(checkpoint=str(tmp_path / "lm"), tune=tune, rank=2)
        torch.testing.assert_close(model.encode(batch, "score").states.after, expected, rtol=0, atol=0)
        learns = {name: parameter.requires_grad for name, parameter in model.backbone.language.named_parameters()}
        assert learns == {name: some(name) for name in learns} and learns
    assert sum("lora_B" in name for name in learns) == 14  # seven maps in each of two layers
    assert model.embedding.table.requires_grad


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2"])
def test_adapters_learn_and_the_rest_stays(architecture):
    model = build(architecture=architecture, hidden=16, width=8, tune="adapters", rank=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learned = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.1)
    for _ in range(2):  # A of an adapter has no gradient while B is 0
        train_step(model, *tiny_batch(dtype=torch.float64))
        learned.step()
    for name, value in model.state_dict().items():
        frozen = name.startswith("backbone.language.") and "lora_" not in name
        assert torch.equal(value, before[name]) == frozen, name


def test_a_width_of_its_own(tmp_path):
    save(tmp_path / "lm")
    model = build(checkpoint=str(tmp_path / "lm"), width=10)
    assert model.embedding.table.shape[1] == 10 and model.encode(tiny_batch()[0], "score").states.after.shape[2] == 10
    assert isinstance(build(checkpoint=str(tmp_path / "lm")).backbone.read, torch.nn.Identity)


def test_a_small_model_has_no_words():
    for architecture in ("llama", "gpt2", "qwen2"):
        language = build(architecture=architecture).backbone.language
        assert max(parameter.shape[0] for parameter in language.parameters()) <= 4 * 64
        assert not language.training


@pytest.mark.parametrize(("kind", "more", "window", "message"), [
    ("llama", {"max_position_embeddings": 8}, 8, r"llama of .* has 8 positions, one of them for what stands before "
     r"events\. Expected more than the window, 8\. Shorten it\."),
    ("mistral", {"sliding_window": 6, "num_key_value_heads": 4}, 8, r"mistral of .* attends to the last 6 tokens\. "
     r"Expected at least 8, which a window of 8 has\. Shorten it\."),
    ("llama", {"max_position_embeddings": 9}, 8, None),
    ("mistral", {"sliding_window": 8, "num_key_value_heads": 4}, 8, None),
])
def test_windows_that_a_language_model_cannot_read(tmp_path, kind, more, window, message):
    save(tmp_path / "lm", kind, **more)
    context = replace(tiny_context(window=window), max_tokens=window)
    reason = SPEC.refuse(SPEC.config(checkpoint=str(tmp_path / "lm")), context)
    assert (reason is None) if message is None else re.search(message, reason)


@pytest.mark.parametrize(("kind", "more", "message"), [
    ("gemma2", {"head_dim": 4, "num_key_value_heads": 4}, r"causal_lm: attention of Gemma2Attention asks for softcap\. "
     r"Expected plain scaled products\."),
    ("recurrent_gemma", {"attention_window_size": 8, "lru_width": 16}, r"causal_lm: .*recurrent_gemma.*Use another "
     r"language model\."),
])
def test_language_models_that_attend_otherwise_are_refused_before_they_are_trained(tmp_path, kind, more, message):
    save(tmp_path / "lm", kind, **more)
    with pytest.raises(Refusal, match=message):
        build(checkpoint=str(tmp_path / "lm"))


@pytest.mark.parametrize("kind", ["mamba", "bloom", "falcon", "gpt_neo", "openai-gpt"])
def test_attention_that_cannot_be_replaced_is_refused_from_its_name_alone(tmp_path, kind):
    transformers.AutoConfig.for_model(kind).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    reason = SPEC.refuse(SPEC.config(checkpoint=str(tmp_path)), tiny_context())
    assert "has attention that transformers does not let replace. Expected a decoder as Llama is one." in reason


def test_what_a_window_hides_of_a_prefix_is_refused_when_it_is_met(tmp_path):
    save(tmp_path / "lm", "mistral", sliding_window=4, num_key_value_heads=4)
    with pytest.raises(Refusal, match="a layer attends to the last 4 of 7 tokens"):
        build(checkpoint=str(tmp_path / "lm")).encode(tiny_batch()[0], "score")


@pytest.mark.parametrize("given", [
    {"position_bias": torch.zeros(1)}, {"head_mask": torch.zeros(1)}, {"s_aux": torch.zeros(1)}, {"softcap": 30.0},
    {"benchbase": None}, {"attention_mask": torch.zeros(1)}])
def test_what_would_change_attention_is_refused(given):
    from benchbase_llm4rec.causal_lm import Seam, attention

    q = torch.zeros(1, 2, 3, 4)
    whole = {"attention_mask": None, "benchbase": Seam(None, 0.0), "position_ids": torch.zeros(1, 3)}
    assert attention(torch.nn.Identity(), q, q, q, **whole)[0].shape == (1, 3, 2, 4)
    with pytest.raises(Refusal, match="Use another language model"):
        attention(torch.nn.Identity(), q, q, q, **whole | given)


def test_its_own_dropout_stays_off(tmp_path):
    """Also where no module stands for it."""
    save(tmp_path / "lm", "starcoder2", num_key_value_heads=4, residual_dropout=0.5, embedding_dropout=0.5,
         attention_dropout=0.5)
    model = build(checkpoint=str(tmp_path / "lm")).train()
    batch = tiny_batch()[0]
    one, other = (rewound(model).encode(batch, "train").states.after for _ in range(2))
    assert torch.equal(one, other) and model.backbone.training and not model.backbone.language.training


@pytest.mark.parametrize("changes", [
    {"hidden_size": "16"}, {"num_hidden_layers": None}, {"num_attention_heads": 0}, {"num_hidden_layers": -1},
    {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
])
def test_configurations_of_strangers(tmp_path, changes):
    save(tmp_path / "lm")
    told = json.loads((tmp_path / "lm" / "config.json").read_text())
    (tmp_path / "lm" / "config.json").write_text(json.dumps(told | changes))
    with pytest.raises((DataError, Refusal)) as error:
        if reason := SPEC.refuse(SPEC.config(checkpoint=str(tmp_path / "lm")), tiny_context()):
            raise Refusal(reason)
        build(checkpoint=str(tmp_path / "lm"))
    assert "Expected" in str(error.value)


def test_folders_that_hold_no_language_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^lm: no causal language model\. Looked for config\.json and model\.safetensor"
                       r"s in .*/lm\. Expected the folder of a Hugging Face causal language model, or an installed "
                       r"distribution that carries one\.$"):
        build(checkpoint="lm")
    save(tmp_path / "lm")
    for broken in ("{", '{"model_type": "no such"}', '{"auto_map": {"AutoModel": "evil.Model"}}'):
        told = (tmp_path / "lm" / "config.json").read_text()
        (tmp_path / "lm" / "config.json").write_text(broken)
        with pytest.raises(DataError, match="lm: no causal language model that can be read"):
            SPEC.refuse(SPEC.config(checkpoint="lm"), tiny_context())
        (tmp_path / "lm" / "config.json").write_text(told)
    wider = json.loads(told) | {"num_hidden_layers": 3}
    (tmp_path / "lm" / "config.json").write_text(json.dumps(wider))
    with pytest.raises(DataError, match=r"model\.safetensors lacks layers\.2\..* weights in all"):
        build(checkpoint="lm")
    (tmp_path / "lm" / "config.json").write_text(told)
    (tmp_path / "lm" / "model.safetensors").write_text("no")
    with pytest.raises(DataError, match="lm: no causal language model that can be read"):
        build(checkpoint="lm")


@pytest.mark.parametrize(("absent", "config", "message"), [
    ("transformers", {}, r"language models need a library that is not installed .*Install the extra: pip install "
     r"'benchbase-llm4rec\[language\]'"),
    ("peft", {"tune": "adapters"}, r"tune: adapters needs a library that is not installed .*Install the extra: pip "
     r"install 'benchbase-llm4rec\[adapters\]'"),
])
def test_libraries_that_are_absent(monkeypatch, absent, config, message):
    monkeypatch.setitem(sys.modules, absent, None)
    for module in ("causal_lm", "language"):
        monkeypatch.delitem(sys.modules, f"benchbase_llm4rec.{module}", raising=False)
    with pytest.raises(BenchbaseError, match=message):
        SPEC.build(SPEC.config(**config), tiny_context())


@pytest.mark.parametrize(("given", "message"), [
    ({"hidden": 10, "heads": 4}, "hidden|heads"),
    ({"hidden": 6, "heads": 2}, r"hidden: 6 over 2 heads is 3, which is odd\. Expected an even width of heads to turn"),
    ({"architecture": "bert"}, "architecture"), ({"rank": 0}, "rank"), ({"scale": 0}, "scale"),
])
def test_parameters_that_cannot_be(given, message):
    with pytest.raises(ValidationError, match=message):
        SPEC.config(**given)
    assert SPEC.config(architecture="gpt2", hidden=6, heads=2).hidden == 6
    assert SPEC.config(checkpoint="somewhere", hidden=10, heads=4).hidden == 10  # not read
