"""The core's contract of objectives, for every loss and every way to share negatives."""

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


class TestGBCEContract(ObjectiveContract):
    spec = SPECS["gbce"]
    config = spec.config(negatives=4)


class TestGBCEBatchContract(ObjectiveContract):
    spec = SPECS["gbce"]
    config = spec.config(negatives=4, scope="batch", law="mixed")


class TestSampledSoftmaxContract(ObjectiveContract):
    spec = SPECS["sampled_softmax"]
    config = spec.config(negatives=6)


class TestSampledSoftmaxBothContract(ObjectiveContract):
    spec = SPECS["sampled_softmax"]
    config = spec.config(negatives=6, scope="position", correct="both")


class TestSampledSoftmaxPlainContract(ObjectiveContract):
    spec = SPECS["sampled_softmax"]
    config = spec.config(negatives=6, scope="sequence", correct="none")


class TestInBatchSoftmaxContract(ObjectiveContract):
    spec = SPECS["in_batch_softmax"]


class TestInBatchSoftmaxFewContract(ObjectiveContract):
    spec = SPECS["in_batch_softmax"]
    config = spec.config(negatives=4, correct="negatives")


class TestInfoNCEContract(ObjectiveContract):
    spec = SPECS["infonce"]
    config = spec.config(negatives=5, temperature=0.05)


class TestInfoNCEInBatchContract(ObjectiveContract):
    spec = SPECS["infonce"]
    config = spec.config(negatives=5, law="in_batch", scope="batch")


class TestActionBCEContract(ObjectiveContract):
    spec = SPECS["action_bce"]


class TestActionBCEWeightsContract(ObjectiveContract):
    spec = SPECS["action_bce"]
    config = spec.config(weights={"share": 3.0})


class TestBPRContract(ObjectiveContract):
    spec = SPECS["bpr"]


class TestBPRBatchContract(ObjectiveContract):
    spec = SPECS["bpr"]
    config = spec.config(negatives=5, scope="batch")
