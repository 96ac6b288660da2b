"""The core's contract of backbones, for both."""

from benchbase_transformers import benchbase_backbones

from benchbase.testing.contracts import BackboneContract

SPECS = {spec.name: spec for spec in benchbase_backbones()}


class TestSASRecContract(BackboneContract):
    spec = SPECS["sasrec"]
    config = spec.config(width=8)


class TestBERT4RecContract(BackboneContract):
    spec = SPECS["bert4rec"]
    config = spec.config(width=8)
