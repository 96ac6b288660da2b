"""What holds for every plugin that is installed, whoever wrote it."""

import dataclasses
from pathlib import Path

import pytest

from benchbase.registry import Offer, Registry
from benchbase.specs import defaults

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = Registry.load()
pytestmark = pytest.mark.plugins  # where none is installed there is nothing to see
NEEDED = {"path": "log.txt", "format": "sequence", "categories": "Gift_Cards",
          "domains": ("sport", "phone")}
"""Values for the parameters without a default."""

every_part = pytest.mark.parametrize("offer", REGISTRY.offers(), ids=lambda offer: "-".join(offer.key))


def test_every_plugin_of_the_repository_is_installed() -> None:
    folders = {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert folders
    assert folders <= {plugin.name for plugin in REGISTRY.plugins}


def test_nothing_is_quarantined() -> None:
    assert not REGISTRY.quarantined


def test_every_plugin_offers_something() -> None:
    offering = {offer.plugin for offer in REGISTRY.offers()}
    assert {plugin.name for plugin in REGISTRY.plugins} == offering


@every_part
def test_every_parameter_is_described(offer: Offer) -> None:
    bare = [name for name, field in offer.spec.config.model_fields.items() if not field.description]
    assert not bare, f"parameters without a description: {', '.join(bare)}"


@every_part
def test_parameters_written_down_are_the_same_parameters(offer: Offer) -> None:
    """Workers and records get every default filled in; a part may not take that for somebody's choice."""
    needed = {name: NEEDED[name] for name, field in offer.spec.config.model_fields.items() if field.is_required()}
    made = offer.spec.config(**needed)
    assert offer.spec.config(**defaults(made)) == made


@every_part
def test_a_part_is_frozen_and_says_where_it_comes_from(offer: Offer) -> None:
    assert str(offer.spec.source)
    with pytest.raises(dataclasses.FrozenInstanceError):
        offer.spec.name = "another"  # type: ignore[misc]


@every_part
def test_a_part_is_built_by_its_own_package(offer: Offer) -> None:
    assert offer.spec.config.__module__.split(".")[0] in (offer.module.split(".")[0], "benchbase")
