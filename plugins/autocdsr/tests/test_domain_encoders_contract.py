"""The core's contract of backbones, with a shared encoder and without."""

from benchbase_autocdsr import benchbase_backbones

from benchbase.testing.contracts import BackboneContract

(SPEC,) = benchbase_backbones()


class TestReleasedContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=8, layers=2, shared_layers=1)


class TestWithoutSharedLayersContract(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=6, layers=2, heads=3, tokens=3, shared_layers=0, shared_heads=2, combine="sum",
                         after=(0,), attention_scale=None, attention_dropout=0.2, projection=False)
