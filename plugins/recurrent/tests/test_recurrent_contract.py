"""The core's contract of backbones, for every shape of the recurrent one."""

from benchbase_recurrent import benchbase_backbones

from benchbase.testing.contracts import BackboneContract

SPECS = {spec.name: spec for spec in benchbase_backbones()}


class TestGRU4RecContract(BackboneContract):
    spec = SPECS["gru4rec"]
    config = spec.config(width=8)


class TestTwoLayersContract(BackboneContract):
    spec = SPECS["gru4rec"]
    config = spec.config(width=8, layers=2, input_norm=True)


class TestProjectedContract(BackboneContract):
    spec = SPECS["gru4rec"]
    config = spec.config(width=8, hidden=6)


class TestProjectedOfEqualWidthContract(BackboneContract):
    spec = SPECS["gru4rec"]
    config = spec.config(width=8, hidden=8)
