"""The core's contract of backbones, for every form of the block."""

from benchbase_hstu import benchbase_backbones

from benchbase.testing.contracts import BackboneContract

(SPEC,) = benchbase_backbones()


class TestNextContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=8)


class TestSelfContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=8, time_ref="self", d_qk=3, d_v=5)


class TestPositionsAloneContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=8, time_ref="none", normaliser="length")


class TestConcatContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=8, concat=True)
