"""What models are made of, in pure torch: attention, blocks, layouts, scorer, shared losses, base classes."""

from ..data.batches import DevicePlan, Plan
from ..data.sequences import Events
from .attention import Attended, Boost, Earlier, attend, attend_earlier, causal_mask
from .blocks import FeedForward, PositionEmbedding, SelfAttention, TransformerBlock
from .context import PartContext
from .dropout import dropout
from .embedding import ActionEmbedding, ItemEmbedding, Items, UserEmbedding, init_linear, init_normal
from .encoder import EncodedItems, Encoder, EncoderContext, for_several_passes
from .heads import ActionHead
from .losses import softmax_loss, softmax_loss_from_scores
from .model import Encoded, SequenceModel, Traits
from .parts import (
    Backbone,
    Combiner,
    CombinerParameters,
    Compressor,
    Modifier,
    Objective,
    Output,
    TaggedParameter,
)
from .rope import rotate, rotation
from .scorer import BoundScorer, ItemBias, Scorer, full_scores
from .tokens import Kind, PrefixTokens, States, Tokens

__all__ = [
    "ActionEmbedding",
    "ActionHead",
    "Attended",
    "Backbone",
    "Boost",
    "BoundScorer",
    "Combiner",
    "CombinerParameters",
    "Compressor",
    "DevicePlan",
    "Earlier",
    "Encoded",
    "EncodedItems",
    "Encoder",
    "EncoderContext",
    "Events",
    "FeedForward",
    "ItemBias",
    "ItemEmbedding",
    "Items",
    "Kind",
    "Modifier",
    "Objective",
    "Output",
    "PartContext",
    "Plan",
    "PositionEmbedding",
    "PrefixTokens",
    "Scorer",
    "SelfAttention",
    "SequenceModel",
    "States",
    "TaggedParameter",
    "Tokens",
    "Traits",
    "TransformerBlock",
    "UserEmbedding",
    "attend",
    "attend_earlier",
    "causal_mask",
    "dropout",
    "for_several_passes",
    "full_scores",
    "init_linear",
    "init_normal",
    "rotate",
    "rotation",
    "softmax_loss",
    "softmax_loss_from_scores",
]
