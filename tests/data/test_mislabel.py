"""Wrong labels: so many, of other domains, the same ones at every share, and none where none is known."""

from collections import Counter

import numpy as np
import pytest

from benchbase.data import Catalogue
from benchbase.data.mislabel import mislabelled

N = 3000
DOMAIN = np.concatenate([[-1], np.arange(N) % 4 - 1]).astype(np.int16)
CATALOGUE = Catalogue(np.arange(N + 1), True, domain=DOMAIN, domain_names=("a", "b", "c"))
KNOWN = DOMAIN >= 0


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_so_many_items_get_another_domain(share: float) -> None:
    found = mislabelled(CATALOGUE, share, 7).domain
    assert found is not None and found.dtype == np.int16
    assert (found != DOMAIN).sum() == round(share * KNOWN.sum())
    assert (found[~KNOWN] == -1).all() and set(found[KNOWN]) == {0, 1, 2}
    assert (CATALOGUE.domain == DOMAIN).all()


def test_each_other_domain_is_alike_likely() -> None:
    found = mislabelled(CATALOGUE, 1.0, 3).domain
    assert found is not None
    pairs = Counter(zip(DOMAIN[KNOWN].tolist(), found[KNOWN].tolist(), strict=True))
    assert len(pairs) == 6 and all(abs(count - 375) < 5 * 375**0.5 for count in pairs.values())


def test_a_larger_share_holds_the_smaller_one() -> None:
    little, much = (mislabelled(CATALOGUE, share, 1).domain for share in (0.1, 0.3))
    assert little is not None and much is not None
    wrong = little != DOMAIN
    assert (much[wrong] == little[wrong]).all()
    other = mislabelled(CATALOGUE, 0.1, 2).domain
    assert other is not None and (other != little).any()
