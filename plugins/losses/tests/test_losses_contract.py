"""The core's contract of objectives, for both losses and every way to share negatives."""

from benchbase_losses import benchbase_objectives

from benchbase.testing.contracts import ObjectiveContract

SPECS = {spec.name: spec for spec in benchbase_objectives()}


class TestSoftmaxContract(ObjectiveContract):
    spec = SPECS["softmax"]


class TestBCEContract(ObjectiveContract):
    spec = SPECS["bce"]


class TestBCESequenceContract(ObjectiveContract):
    spec = SPECS["bce"]
    config = spec.config(negatives=3, scope="sequence")


class TestBCEBatchContract(ObjectiveContract):
    spec = SPECS["bce"]
    config = spec.config(negatives=5, scope="batch", law="popularity")
