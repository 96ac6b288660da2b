"""Whose each parameter is, and the optimiser over them."""

import torch
from torch import nn

from ..assemble import Experiment
from ..nn import SequenceModel, TaggedParameter


def tag_parameters(model: SequenceModel) -> list[TaggedParameter]:
    """Every trained parameter with the part it belongs to."""
    return [TaggedParameter(name, _tag(name), p) for name, p in model.named_parameters() if p.requires_grad]  # type: ignore[arg-type]


def _tag(name: str) -> str:
    top = name.partition(".")[0]
    tags = {"embedding": "embedding", "actions": "embedding", "users": "embedding", "objectives": "objective",
            "scorer": "head", "readout": "head", "head": "head"}
    if name == "scorer.table":
        return "embedding"
    return tags.get(top, "encoder")


def make_optimizer(groups: list[list[nn.Parameter]], experiment: Experiment) -> torch.optim.Optimizer:
    """The optimiser of the suite over the parameter groups."""
    train = experiment.suite.train
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train.optimizer]
    optimizer: torch.optim.Optimizer = kind(
        [{"params": group} for group in groups], lr=train.lr, betas=(0.9, train.beta2),
        weight_decay=train.weight_decay, fused=True,
    )
    return optimizer
