"""`benchbase data`: what data sets there are, what is in them, and getting them ready."""

from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from .printing import JSON, as_json, as_table, shell, what_next

if TYPE_CHECKING:
    from ..config import Part
    from ..config.parts import Lookup
    from ..data import Prepared

NAME = click.argument("name", metavar="NAME[PARAMETER=VALUE,...]")
SEED = click.option("--data-seed", metavar="N", type=click.IntRange(min=0), default=0, show_default=True,
                    help="Seed of generated data, of what is drawn in preparation, and of the split.")


@click.group()
def data() -> None:
    """List, describe, prepare and fetch data sets. Files are looked up here and in BENCHBASE_DATA."""


@data.command("list")
@JSON
def list_(json_: bool) -> None:
    """List the data sets that installed plugins offer."""
    from ..registry import Registry
    from ..specs import DatasetSpec

    rows = [{"name": offer.spec.name, "distribution": offer.distribution, "licence": offer.spec.licence,
             "fetched": offer.spec.fetch is not None, "source": str(offer.spec.source)}
            for offer in Registry.load().offers("dataset") if isinstance(offer.spec, DatasetSpec)]
    if json_:
        as_json(rows)
        return
    as_table(("name", "distribution", "licence", "can be fetched", "source"),
             [(str(row["name"]), str(row["distribution"]), str(row["licence"]), "yes" if row["fetched"] else "no",
               str(row["source"])) for row in rows])
    what_next("`benchbase data card NAME` describes one.")


@data.command()
@NAME
@click.option("--split", metavar="SPLIT[PARAMETER=VALUE,...]", help="Also describe this split, such as leave_one_out.")
@SEED
@JSON
def card(name: str, split: str | None, data_seed: int, json_: bool) -> None:
    """Describe a data set: counts, licence, checksums, what filters removed, ties, repeated pairs, leak share."""
    from ..config.models import split_config
    from ..data import render, with_split
    from ..data import split as divide

    rule = _part("split", split, split_config) if split else None
    prepared = _prepared(name, data_seed)
    facts = prepared.card
    if rule is not None:
        divided = divide(prepared.interactions, prepared.catalogue, (rule.name, rule.config), seed=data_seed)
        facts = with_split(facts, divided.facts)
    if json_:
        as_json(facts)
        return
    click.echo(render(facts))
    what_next("name it under `datasets:` in a suite.")


@data.command()
@NAME
@SEED
@click.option("--refresh", is_flag=True, help="Read the sources again.")
@JSON
def prepare(name: str, data_seed: int, refresh: bool, json_: bool) -> None:
    """Read, filter and sort a data set into the cache, or open it there."""
    began = perf_counter()
    prepared = _prepared(name, data_seed, refresh)
    took = perf_counter() - began
    sizes = {key: prepared.card[key] for key in ("users", "items", "events")}
    if json_:
        as_json({"name": name, "hash": prepared.hash, "seconds": round(took, 3), **sizes})
        return
    click.echo(f"{name}: {sizes['users']:,} users, {sizes['items']:,} items, {sizes['events']:,} events "
               f"in {took:.1f} s; hash {prepared.hash[:12]}")
    what_next(f"`benchbase data card {shell(name)}` describes it.")


@data.command()
@NAME
@JSON
def fetch(name: str, json_: bool) -> None:
    """Fetch the files of a data set and check them against their pinned hashes."""
    from ..errors import DataError
    from ..runner.plan import context_of

    spec, config = _resolve(name)
    if spec.fetch is None:
        raise DataError(f"dataset {spec.name}: it cannot be fetched. Expected one that can, or its files at hand. "
                        f"`benchbase data card {spec.name}` says what it reads.")
    paths = [str(path) for path in spec.fetch(config, context_of(None))]
    if json_:
        as_json({"name": name, "files": paths})
        return
    for path in paths:
        click.echo(path)
    what_next(f"`benchbase data card {shell(name)}` describes it.")


def _prepared(name: str, seed: int, refresh: bool = False) -> "Prepared":
    from ..data import prepare as prepare_data
    from ..runner.plan import context_of

    spec, config = _resolve(name)
    return prepare_data(spec, config, context_of(None, seed), refresh=refresh)


def _resolve(text: str) -> tuple[Any, Any]:
    """The spec of a data set and its parameters, from the bracket form."""
    from ..registry import Registry

    registry = Registry.load()
    part = _part("dataset", text, lambda name: registry.get("dataset", name).config)
    return registry.get("dataset", part.name), part.config


def _part(kind: str, text: str, lookup: "Lookup") -> "Part":
    from ..config.nodes import Node, Problems
    from ..config.parts import resolve_part

    problems = Problems()
    part = resolve_part(kind, Node(text), kind, lookup, problems)
    problems.check()
    assert part is not None, "a part that does not resolve has problems"
    return part
