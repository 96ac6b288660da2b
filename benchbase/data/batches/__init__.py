"""What models read and must predict, as tensors, and how both are made; the only part of data that needs torch."""

from .feed import Feed, FeedConfig, ScoreBatch, TrainBatch
from .own_domain import OwnDomainFeed
from .plans import DevicePlan, Plan
from .tensors import Batch, History, Targets

__all__ = [
    "Batch",
    "DevicePlan",
    "Feed",
    "FeedConfig",
    "History",
    "OwnDomainFeed",
    "Plan",
    "ScoreBatch",
    "Targets",
    "TrainBatch",
]
