"""`benchbase plugins`."""

import click

from .printing import JSON, as_json, as_table, what_next


@click.command()
@click.option("--kind", metavar="KIND", help="Only parts of this kind, such as backbone.")
@JSON
def plugins(kind: str | None, json_: bool) -> None:
    """List the parts that installed plugins offer, and the plugins that are broken, with the reason."""
    from ..errors import BenchbaseError, nearest
    from ..registry import DISABLE, Registry, disabled_names
    from ..specs import KINDS

    if kind is not None and kind not in KINDS:
        raise BenchbaseError(f"--kind {kind}: no such kind. {nearest(kind, KINDS, 'Kinds')}")
    registry = Registry.load()
    parts = [{"kind": offer.spec.kind, "name": offer.spec.name, "distribution": offer.distribution,
              "version": offer.version, "source": str(offer.spec.source)} for offer in registry.offers(kind)]
    broken = [{"plugin": each.plugin, "distribution": each.distribution, "version": each.version, "kind": each.kind,
               "name": each.name, "reason": each.reason, "traceback": each.traceback} for each in registry.quarantined]
    for name in disabled_names():
        if name not in (*registry.blocked, *(plugin.name for plugin in registry.plugins)):
            click.echo(f"Note: {DISABLE} names '{name}', which is no installed plugin.", err=True)
    if json_:
        as_json({"parts": parts, "quarantined": broken, "not_loaded": list(registry.blocked)})
        return
    if parts:
        as_table(("kind", "name", "distribution", "version", "source"), [tuple(part.values()) for part in parts])
    else:
        click.echo("No plugin offers a part.")
    if broken:
        click.echo("Quarantined, fatal only to suites that name them (--json shows tracebacks):")
        as_table(("plugin", "distribution", "part", "reason"),
                 [(each["plugin"], f"{each['distribution']} {each['version']}",
                   f"{each['kind']} {each['name']}".strip() or "all of it", each["reason"]) for each in broken])
    if registry.blocked:
        click.echo(f"Installed but not loaded: {', '.join(registry.blocked)}.")
    what_next("name parts in a suite as `name` or `name[parameter=value]`, then `benchbase plan SUITE`.")
