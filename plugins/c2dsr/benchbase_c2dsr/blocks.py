"""Vectors that hold a block for every domain, of which an item fills its own."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def domains_of(catalogue: Any) -> Tensor:
    """The domain of each item, (n_items) int64, -1 unknown; item i is entry i - 1."""
    return torch.from_numpy(np.asarray(catalogue.domain[1:], dtype=np.int64))


def own_block(x: Tensor, domain: Tensor, n_domains: int) -> Tensor:
    """The block (..., w) of each vector (..., domains w) that is of its domain (...); without one, all blocks' sum."""
    blocks = x.reshape(*x.shape[:-1], n_domains, -1)
    at = domain.clamp_min(0)[..., None, None].expand(*domain.shape, 1, blocks.shape[-1])
    return torch.where(domain.unsqueeze(-1) < 0, blocks.sum(dim=-2), blocks.gather(-2, at).squeeze(-2))


def filled(domain: Tensor, n_domains: int, width: int) -> Tensor:
    """Which entries of item vectors (n_items, domains width) an item fills, bool: its block; without a domain, all."""
    own = (domain[:, None] == torch.arange(n_domains, device=domain.device)) | (domain < 0)[:, None]
    return own.repeat_interleave(width, dim=1)


def block_of(domain: int, width: int) -> slice:
    """Where the block of a domain lies; all of a vector for -1."""
    return slice(None) if domain < 0 else slice(domain * width, (domain + 1) * width)
