"""A fresh probe: can a classifier that the model never met tell a user's group from the state?"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import metrics

FOLDS, HIDDEN, EPOCHS, BATCH = 5, 64, 20, 256
RATE, DECAY = 1e-3, 0.1
FEWEST = 2 * FOLDS
"""Users of a group, at least, for it to be told from the others."""


def probe_auc(states: np.ndarray, group: np.ndarray, seed: int = 0) -> float:
    """Area under the curve of classifiers that tell group from state, each of users that it was not trained on.

    states (users, D) float32; group (users,) whole numbers from 0. Users are in five parts, each told by a network of
    one hidden layer that is trained on the other four. The mean over parts; of more than two groups over one group
    against all others, too. 0.5: the states tell nothing that such a probe finds. nan where fewer than two groups have
    ten users.
    """
    codes, sizes = np.unique(group, return_counts=True)
    large = codes[sizes >= FEWEST]
    if len(large) < 2:
        return math.nan
    known = np.isin(group, large)
    x = torch.from_numpy(np.asarray(states[known], np.float32))
    y = torch.from_numpy(np.searchsorted(large, group[known]))
    part = _parts(y.numpy(), seed)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.default_generator.manual_seed(seed)  # that of the CPU alone
        areas = [_areas(_fitted(x[part != fold], y[part != fold], len(large), x[part == fold]), y[part == fold])
                 for fold in range(FOLDS)]
    return float(np.mean(areas))


def _parts(y: np.ndarray, seed: int) -> np.ndarray:
    """The part of each user, (users,), every group spread evenly over the parts."""
    random, part = np.random.default_rng(seed), np.empty(len(y), np.int64)
    for code in np.unique(y):
        rows = random.permutation(np.flatnonzero(y == code))
        part[rows] = np.arange(len(rows)) % FOLDS
    return part


def _fitted(x: Tensor, y: Tensor, n_groups: int, unseen: Tensor) -> np.ndarray:
    """The probabilities (unseen, groups) of a classifier trained on x (users, D), y (users,)."""
    mean, spread = x.mean(dim=0), x.std(dim=0).clamp_min(1e-6)
    x, unseen = (x - mean) / spread, (unseen - mean) / spread
    probe = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_groups))
    optimizer = torch.optim.AdamW(probe.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            F.cross_entropy(probe(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        return np.asarray(probe(unseen).softmax(dim=1))


def _areas(probability: np.ndarray, y: Tensor) -> float:
    """Of two groups the area; of more the mean over one group against all others."""
    label = y.numpy()
    groups = range(1, 2) if probability.shape[1] == 2 else range(probability.shape[1])
    return float(np.mean([metrics.auc(label == code, probability[:, code]) for code in groups]))
