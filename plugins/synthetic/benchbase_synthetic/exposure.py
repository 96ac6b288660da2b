"""Exposure: what is shown, what is liked of it, and what the best model knows of what would be liked if all were."""

from dataclasses import dataclass

import numpy as np

from .config import ExposureConfig


@dataclass(frozen=True)
class Showing:
    """The law of N items and G groups of users, numbered from 0.

    `propensity` (N,): how likely an item is to be shown, the most shown is 1. `liking` (G, N): the probability that a
    user of a group likes an item once it is shown. `kind` (N,): the group whose own kind an item is of.
    """

    propensity: np.ndarray
    liking: np.ndarray
    kind: np.ndarray

    def liked(self, uniform: bool) -> np.ndarray:
        """The law of what is liked next by each group, (G, N), of items shown by propensity or uniformly."""
        law = self.liking if uniform else self.liking * self.propensity
        return np.asarray(law / law.sum(axis=1, keepdims=True))

    def law(self, items: np.ndarray, lengths: np.ndarray, uniform_from: np.ndarray) -> np.ndarray:
        """The law of what is liked after each sequence, (n_rows, N), exact.

        items (n_rows, n_steps), of which the first `lengths` (n_rows,) happened; from the place `uniform_from`
        (n_rows,) on all items are shown alike. A user may be of any group; what they liked tells of which, by Bayes.
        """
        laws = np.stack([self.liked(False), self.liked(True)])
        places = np.arange(items.shape[1])
        alike = (places >= uniform_from[:, None]).astype(int)
        seen = np.log(laws)[alike, :, items] * (places < lengths[:, None])[..., None]  # (n_rows, n_steps, G)
        total = seen.sum(axis=1)
        belief = np.exp(total - total.max(axis=1, keepdims=True))
        belief /= belief.sum(axis=1, keepdims=True)
        return np.asarray((belief[:, :, None] * laws[(lengths >= uniform_from).astype(int)]).sum(axis=1))


def make_showing(config: ExposureConfig, seed: int) -> Showing:
    """The items of a world: equally many of each kind; what is shown often has no more appeal than the rest."""
    rng = np.random.default_rng([seed, 1])
    kind = rng.permutation(np.arange(config.n_items) % config.groups)
    propensity = (rng.permutation(config.n_items) + 1.0) ** -config.skew
    appeal = rng.uniform(config.low, config.high, config.n_items)
    own = kind == np.arange(config.groups)[:, None]
    return Showing(propensity, np.where(own, config.keen, config.other) * appeal, kind)


def groups_of(config: ExposureConfig, seed: int) -> np.ndarray:
    """The group of every user, (n_users,), which no log tells."""
    return np.random.default_rng([seed, 2]).integers(0, config.groups, config.n_users)


def show(config: ExposureConfig, sizes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Items (n_users, longest) of users with so many events each, (n_users,), and which of them were liked, bool."""
    showing, group, rng = make_showing(config, seed), groups_of(config, seed), np.random.default_rng([seed, 3])
    shape = len(sizes), int(sizes.max(initial=0))
    items = np.empty(shape, np.int32)
    uniform = np.arange(shape[1]) >= (sizes - config.random)[:, None]
    for each in range(config.groups):
        for alike in (False, True):
            if config.keep == "liked":
                law = showing.liked(alike)[each]
            else:
                law = np.ones(config.n_items) if alike else showing.propensity
            at = (group == each)[:, None] & (uniform == alike)
            items[at] = rng.choice(config.n_items, int(at.sum()), p=law / law.sum())
    likes = rng.random(shape) < showing.liking[group[:, None], items]
    return items, likes | (config.keep == "liked")
