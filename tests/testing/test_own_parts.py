"""The tiny parts and the probes obey the contracts that are made for plugins."""

import numpy as np

from benchbase.specs import Config, RecommenderSpec
from benchbase.testing.contracts import (
    BackboneContract,
    CompressorContract,
    DatasetContract,
    ModifierContract,
    ObjectiveContract,
    RecommenderContract,
)
from benchbase.testing.probes import (
    probe_domain_mass,
    probe_feedback,
    probe_popularity,
    probe_prefix,
    probe_recent,
    probe_relation,
    probe_sparse,
)
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_recurrent, tiny_softmax
from benchbase.testing.world import tiny_data

NEUTRAL = {"strength": 0}


class TestCausal(BackboneContract):
    spec = tiny_causal
    config = {"dropout": 0.2}  # noqa: RUF012


class TestBidirectional(BackboneContract):
    spec = tiny_bidirectional


class TestPointwise(BackboneContract):
    spec = tiny_pointwise


class TestRecurrent(BackboneContract):
    spec = tiny_recurrent
    config = {"dropout": 0.2}  # noqa: RUF012


class TestRelation(ModifierContract):
    spec = probe_relation
    neutral = NEUTRAL


class TestFeedback(ModifierContract):
    spec = probe_feedback
    neutral = NEUTRAL


class TestPrefix(ModifierContract):
    spec = probe_prefix
    neutral = NEUTRAL


class TestRecent(CompressorContract):
    spec = probe_recent


class TestSoftmax(ObjectiveContract):
    spec = tiny_softmax


class TestSparse(ObjectiveContract):
    spec = probe_sparse
    modifiers = (probe_relation,)


class TestDomainMass(ObjectiveContract):
    spec = probe_domain_mass


class TestPopularityVector(ObjectiveContract):
    spec = probe_popularity
    names_matter = True


class TestPopularityMatrix(ObjectiveContract):
    spec = probe_popularity
    config = {"matrix": True}  # noqa: RUF012
    names_matter = True


class TestTinyData(DatasetContract):
    spec = tiny_data


class Last:
    """Scores items by how often they were seen, and the user's own twice."""

    def __init__(self, config, context):
        self.n_items = context.n_items

    def fit(self, train, context):
        self.counts = np.bincount(train.item - 1, minlength=self.n_items)

    def scores(self, histories, times):
        scores = np.tile(self.counts.astype(float), (histories.n_rows, 1))
        np.add.at(scores, (histories.row, histories.item - 1), 1.0)
        return scores


LAST = RecommenderSpec(name="last", config=Config, build=Last, source="tests")


class TestRecommender(RecommenderContract):
    spec = LAST
