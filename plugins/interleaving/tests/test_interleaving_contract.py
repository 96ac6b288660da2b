"""The contracts that `benchbase.testing` asks of every modifier, for each way of pooling."""

from typing import ClassVar

from benchbase_interleaving import benchbase_modifiers

from benchbase.testing.contracts import ModifierContract

SPECS = {spec.name: spec for spec in benchbase_modifiers()}


class TestAttnLFA(ModifierContract):
    spec = SPECS["attn_lfa"]


class TestAttnLFAInclusive(ModifierContract):
    spec = SPECS["attn_lfa"]
    config: ClassVar = {"strict": False, "null": "learned"}


class TestAttnMVP(ModifierContract):
    spec = SPECS["attn_mvp"]


class TestAttnMVPWithoutLateFusion(ModifierContract):
    spec = SPECS["attn_mvp"]
    config: ClassVar = {"late_fusion": False, "mix": 0.5, "null": "learned"}


class TestAttnDHN(ModifierContract):
    spec = SPECS["attn_dhn"]


class TestAttnDHNWithoutLateFusion(ModifierContract):
    spec = SPECS["attn_dhn"]
    config: ClassVar = {"late_fusion": False, "null": "learned", "ffn": 2}
