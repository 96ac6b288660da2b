"""The core's contract of backbones, for language models of several kinds and for what of them learns."""

from benchbase_llm4rec import benchbase_backbones

from benchbase.testing.contracts import BackboneContract

SPEC = benchbase_backbones()[0]
SMALL = {"hidden": 16, "heads": 2, "layers": 2, "width": 16, "dropout": 0.1}


class TestLlama(BackboneContract):
    spec = SPEC
    config = SPEC.config(**SMALL)


class TestGPT2(BackboneContract):
    spec = SPEC
    config = SPEC.config(**SMALL | {"architecture": "gpt2"})


class TestQwen2OfAnotherWidth(BackboneContract):
    spec = SPEC
    config = SPEC.config(**SMALL | {"architecture": "qwen2", "width": 12})
