"""Wrong labels: a catalogue that calls some items by another domain's name, to see who depends on the names."""

from dataclasses import replace

import numpy as np

from .catalogue import Catalogue


def mislabelled(catalogue: Catalogue, share: float, seed: int) -> Catalogue:
    """The catalogue with another domain for a `share` of the items that have one, each of the others alike likely.

    What is drawn depends on the seed alone: a larger share holds the items of a smaller one, wrong in the same way.
    """
    assert catalogue.domain is not None, "assemble refuses wrong labels without domains"
    random = np.random.default_rng(seed)
    n, n_domains = catalogue.n_items + 1, len(catalogue.domain_names)
    place, shift = random.permutation(n), random.integers(1, n_domains, n)
    known = catalogue.domain >= 0
    wrong = np.zeros(n, bool)
    order = np.flatnonzero(known)[np.argsort(place[known])]
    wrong[order[: round(share * len(order))]] = True
    return replace(catalogue, domain=np.where(wrong, (catalogue.domain + shift) % n_domains, catalogue.domain)
                   .astype(catalogue.domain.dtype))
