"""A registry of small invented parts, and suites written on it."""

from typing import Literal

import pytest
from pydantic import Field, model_validator

from benchbase import (
    BackboneSpec,
    CombinerSpec,
    CompressorSpec,
    Config,
    DatasetSpec,
    EncoderSpec,
    ModifierSpec,
    ObjectiveSpec,
    RecommenderSpec,
)
from benchbase.config import load_suite
from benchbase.errors import ConfigError
from benchbase.registry import Registry
from benchbase.specs import CombinerConfig


class Files(Config):
    path: str = Field(description="file to read")
    format: Literal["sequence", "log"] = Field("log", description="how it is written")


class Encoder(Config):
    width: int = Field(64, ge=1, description="width of a token")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of values dropped")
    heads: tuple[int, ...] = Field((1,), description="heads per layer")


class Eager(Encoder):
    @model_validator(mode="before")
    @classmethod
    def _untouched(cls, given):
        return given  # a validator like this one makes strict reading refuse lists for tuples


class Strength(Config):
    alpha: float = Field(1.0, gt=0, description="strength")
    on: bool = Field(True, description="whether it acts")
    mode: Literal["no", "soft"] = Field("soft", description="how it acts")
    bound: float | None = Field(None, description="largest value")

    @model_validator(mode="after")
    def _bounded(self):
        if self.bound is not None and self.bound < self.alpha:
            raise ValueError("bound is below alpha. Expected at least alpha.")
        return self


class Balance(CombinerConfig):
    pass


def build(config, context):
    return None


def _spec(kind, name, config=Config, **more):
    return kind(name=name, config=config, build=build, source="invented", **more)


SPECS = [
    _spec(DatasetSpec, "files", Files),
    _spec(BackboneSpec, "plain", Encoder),
    _spec(BackboneSpec, "deep", Encoder),
    _spec(BackboneSpec, "eager", Eager),
    _spec(ModifierSpec, "boost", Strength, sites={"boost"}),
    _spec(ModifierSpec, "tilt", Strength, sites={"bias"}),
    _spec(ObjectiveSpec, "softmax"),
    _spec(ObjectiveSpec, "extra", Strength),
    _spec(ObjectiveSpec, "third"),
    _spec(CombinerSpec, "even", Balance),
    _spec(CompressorSpec, "buckets"),
    _spec(EncoderSpec, "words", Strength),
    _spec(RecommenderSpec, "count"),
]
GUARD = _spec(RecommenderSpec, "popular", guard=True)


@pytest.fixture
def registry():
    return Registry.of(SPECS)


@pytest.fixture
def guarded():
    return Registry.of([*SPECS, GUARD])


@pytest.fixture
def write():
    """A suite as plain data, with these keys instead of the usual ones."""

    def write(**keys):
        usual = {
            "suite": "small",
            "datasets": [{"name": "files", "path": "a.txt"}],
            "protocol": {"split": "leave_one_out"},
            "base": {"backbone": "plain", "objectives": ["softmax"]},
        }
        return {key: value for key, value in {**usual, **keys}.items() if value is not ...}

    return write


@pytest.fixture
def suite(registry, write):
    """Load a suite with these keys instead of the usual ones."""
    return lambda **keys: load_suite(write(**keys), registry)


@pytest.fixture
def problems(registry, write):
    """The problems of a suite: of a text or path, or of the usual one with these keys."""

    def problems(source=None, registry=registry, **keys):
        with pytest.raises(ConfigError) as error:
            load_suite(write(**keys) if source is None else source, registry)
        assert str(error.value) == "\n".join(error.value.problems)
        return list(error.value.problems)

    return problems


@pytest.fixture
def labels(suite, registry):
    """The labels of the configurations of a suite with these keys."""
    return lambda **keys: [each.label for each in suite(**keys).configurations(registry)]
