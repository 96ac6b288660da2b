"""The core's contract of backbones, for every form of the input and of the block."""

from benchbase_genrank import benchbase_backbones

from benchbase.testing.contracts import BackboneContract

(SPEC,) = benchbase_backbones()


class TestGenRankContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=8, heads=2, layers=2)


class TestBiasByTimeContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=8, heads=2, layers=2, time_bias=0.5, activation="swiglu")


class TestPositionsAloneContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=8, heads=4, layers=2, time="none")
