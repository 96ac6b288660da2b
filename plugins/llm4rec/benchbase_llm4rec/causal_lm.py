"""A causal language model of Hugging Face as a backbone: vectors of items take the place of those of words."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from benchbase import BuildContext
from benchbase.errors import BenchbaseError, Refusal, brief
from benchbase.nn import Backbone, PartContext, init_linear

from .config import CausalLMConfig
from .language import CAUSAL

# language says what to install where transformers is absent
from transformers import AutoConfig, AutoModel, PreTrainedModel  # isort: skip
from transformers.modeling_utils import AttentionInterface  # isort: skip
from transformers.pytorch_utils import Conv1D  # isort: skip

OURS = "benchbase"
"""The name under which language models find the core's attention."""

KNOWN = frozenset({"position_ids", "cache_position", "is_causal", "output_attentions", "output_hidden_states",
                   "use_cache"})
"""What a language model may tell its attention that changes nothing of it; anything else must be None."""


class CausalLM(Backbone):
    """Item vectors, a language model without its words, a norm where it has one; states have the width of items.

    Attention inside of it is the core's own (`ctx.attend`), under the core's mask, so that modifiers of attention act
    in it as in any backbone. Events stand at their positions plus one, and what stands before all events at 0, so that
    no prefix moves them.
    """

    def __init__(self, config: CausalLMConfig, context: BuildContext):
        super().__init__()
        self.dropout, self.width = config.dropout, config.width
        self.language = _small(config, context) if not config.checkpoint else CAUSAL.model(
            CAUSAL.folder(config.checkpoint), AutoModel, attn_implementation=OURS)
        own = self.language.config
        self.n_layers, self.n_heads = own.num_hidden_layers, own.num_attention_heads
        self.language.set_input_embeddings(nn.Identity())  # no words are read
        for layer in _layers(self.language):
            layer.register_forward_hook(after_layer, with_kwargs=True)
        if config.tune != "all":
            self.language.requires_grad_(False)
        if config.tune == "adapters":
            _adapt(self.language, config)
        self.read: nn.Module = nn.Identity()
        self.write: nn.Module = nn.Identity()
        if own.hidden_size != config.width:
            self.read, self.write = nn.Linear(config.width, own.hidden_size), nn.Linear(own.hidden_size, config.width)
            init_linear(self.read)
            init_linear(self.write)
        _try(self.language)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but the language model stays in eval mode: its own dropout draws from generators that no
        checkpoint keeps, and has that of the core in its place.
        """
        super().train(mode)
        self.language.eval()
        return self

    def forward(self, ctx: PartContext) -> Tensor:
        """Hidden states (B, S, width), one per token."""
        seam = Seam(ctx, self.dropout)
        h = self.read(ctx.dropout(ctx.tokens.x, self.dropout))
        read = self.language(inputs_embeds=h, position_ids=ctx.tokens.position + 1, use_cache=False, benchbase=seam)
        return self.write(read.last_hidden_state)  # type: ignore[no-any-return]


class Seam:
    """What carries one forward pass of the core through a language model to its layers of attention; without a context
    it tries whether it gets to all of them.
    """

    def __init__(self, ctx: PartContext | None, dropout: float):
        self.ctx, self.dropout, self.layers = ctx, dropout, 0

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> Tensor:
        """Queries (B, H, S, d), keys and values of as many heads or fewer -> (B, S, H, d)."""
        layer, ctx = self.layers, self.ctx
        self.layers += 1
        if ctx is None:
            return q.transpose(1, 2)
        groups = q.shape[1] // k.shape[1]
        if groups > 1:
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        return ctx.dropout(ctx.attend(layer, q, k, v, scale=scale).transpose(1, 2), self.dropout).contiguous()

    def states(self, h: Tensor) -> Tensor:
        """What modifiers leave of the hidden (B, S, D) after the layer that attended last."""
        return h if self.ctx is None else self.ctx.states(self.layers - 1, h)


def attention(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
              scaling: float | None = None, dropout: float = 0.0, benchbase: Seam | None = None,
              **more: Any) -> tuple[Tensor, None]:
    """The core's attention in the form in which language models of transformers ask for theirs.

    Errors: `Refusal` where the model wants something that the core's attention has not.
    """
    window = more.pop("sliding_window", None)
    if window is not None and window < key.shape[2]:
        raise Refusal(f"causal_lm: a layer attends to the last {window} of {key.shape[2]} tokens. Expected one "
                          "that attends to all. Shorten the window, or use another language model.")
    if unknown := sorted(name for name, given in more.items() if given is not None and name not in KNOWN):
        raise Refusal(f"causal_lm: attention of {type(module).__name__} asks for {', '.join(unknown)}. Expected "
                          "plain scaled products. Use another language model.")
    if benchbase is None:
        raise Refusal(f"causal_lm: {type(module).__name__} is not handed on what the model was called with. "
                          "Expected a model of transformers that does so. Use another language model.")
    if attention_mask is not None:
        raise Refusal(f"causal_lm: {type(module).__name__} has a mask of its own. Expected one that attends to all "
                      "that is before. Use another language model.")
    return benchbase.attend(query, key, value, scaling), None


AttentionInterface.register(OURS, attention)


def after_layer(module: nn.Module, given: Any, named: dict[str, Any], output: Any) -> Any:
    """The output of a layer as modifiers of states leave it; called by torch after each."""
    seam = named.get("benchbase")
    if seam is None:  # then its attention is not the core's either, which is refused
        return output
    if isinstance(output, tuple):
        return (seam.states(output[0]), *output[1:])
    return seam.states(output)


def why_not(config: CausalLMConfig, context: BuildContext) -> str | None:
    """Why a language model cannot read windows of such a length, or None.

    Errors: `DataError` where there is no language model.
    """
    if not config.checkpoint:
        return None
    own = CAUSAL.config(CAUSAL.folder(config.checkpoint))
    kind = AutoModel._model_mapping.get(type(own), None)
    if kind is None or not kind._supports_attention_backend:
        return (f"causal_lm: {own.model_type} of {config.checkpoint} has attention that transformers does not let "
                "replace. Expected a decoder as Llama is one. Use another language model.")
    if getattr(own, "quantization_config", None) is not None:
        return (f"causal_lm: {config.checkpoint} holds quantised weights. Expected plain ones. Take the checkpoint "
                "that it was made of.")
    most, slides = getattr(own, "max_position_embeddings", None), getattr(own, "sliding_window", None)
    if most is not None and context.window + 1 > most:
        return (f"causal_lm: {own.model_type} of {config.checkpoint} has {most} positions, one of them for what stands "
                f"before events. Expected more than the window, {context.window}. Shorten it.")
    if slides is not None and getattr(own, "use_sliding_window", True) and slides < context.max_tokens:
        return (f"causal_lm: {own.model_type} of {config.checkpoint} attends to the last {slides} tokens. Expected at "
                f"least {context.max_tokens}, which a window of {context.window} has. Shorten it.")
    return None


def _small(config: CausalLMConfig, context: BuildContext) -> PreTrainedModel:
    """A model of the sizes given, with weights drawn by its own law."""
    sizes: dict[str, Any] = {
        "hidden_size": config.hidden, "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "max_position_embeddings": context.window + 1, "vocab_size": 1, "bos_token_id": None, "eos_token_id": None,
    }
    if config.architecture != "gpt2":  # which has four widths by itself
        sizes |= {"intermediate_size": 4 * config.hidden, "num_key_value_heads": config.heads}
    return AutoModel.from_config(AutoConfig.for_model(config.architecture, **sizes), attn_implementation=OURS)


def _layers(model: PreTrainedModel) -> nn.ModuleList:
    """The blocks that the hidden passes through, one after the other. Errors: `Refusal`."""
    for part in model.children():
        if isinstance(part, nn.ModuleList) and len(part) == model.config.num_hidden_layers:
            return part
    raise Refusal(f"causal_lm: {type(model).__name__} has no list of {model.config.num_hidden_layers} layers. "
                  "Expected one, as decoders of transformers have. Use another language model.")


def _try(model: PreTrainedModel) -> None:
    """Refuse a language model that cannot be run as this one is, before it is trained. Errors: `Refusal`."""
    seam, config = Seam(None, 0.0), model.config
    try:
        with torch.no_grad():
            model.eval()(inputs_embeds=torch.zeros(1, 2, config.hidden_size), position_ids=torch.tensor([[0, 1]]),
                         use_cache=False, benchbase=seam)
    except Refusal:
        raise
    except Exception as error:  # whatever an architecture makes of it
        raise Refusal(f"causal_lm: {config.model_type} cannot read vectors in place of words here ({brief(error)}). "
                      "Expected a decoder of transformers as Llama is one. Use another language model.") from error
    if seam.layers != config.num_hidden_layers:
        raise Refusal(f"causal_lm: {seam.layers} of {config.num_hidden_layers} layers of {config.model_type} attend by "
                      "the means that transformers lets replace. Expected all: modifiers would not be heard in the "
                      "others. Use another language model.")


def _adapt(model: PreTrainedModel, config: CausalLMConfig) -> None:
    """Put low-rank adapters beside every linear map, which alone learn.

    Source: Hu et al. 2022, LoRA. Errors: `BenchbaseError` where peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise BenchbaseError(f"llm4rec: tune: adapters needs a library that is not installed ({error}). Expected peft. "
                             "Install the extra: pip install 'benchbase-llm4rec[adapters]'.") from error
    turned = any(isinstance(part, Conv1D) for part in model.modules())  # GPT-2 keeps its maps the other way round
    how = LoraConfig(r=config.rank, lora_alpha=config.scale * config.rank,
                     target_modules="all-linear", fan_in_fan_out=turned)
    inject_adapter_in_model(how, model)
