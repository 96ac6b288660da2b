"""The registry: what is found, what is quarantined and why, whatever else is installed."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from benchbase import BackboneSpec, Config, ModifierSpec, ObjectiveSpec, RecommenderSpec, hookimpl, registry
from benchbase.errors import BenchbaseError, PluginError
from benchbase.registry import Plugin, Registry


def build(config, context):
    return None


def backbone(name="plain", **more):
    return BackboneSpec(name=name, config=Config, build=build, source="here", **more)


def modifier(name="tweak"):
    return ModifierSpec(name=name, config=Config, build=build, source="here", sites={"bias"})


def objective(name="loss"):
    return ObjectiveSpec(name=name, config=Config, build=build, source="here")


@dataclass
class Distribution:
    name: str
    version: str = "1.2"


@pytest.fixture
def install(monkeypatch):
    """Install fake plugins: each call adds an entry point for a module with these attributes."""
    entries = []
    monkeypatch.setattr(registry, "entry_points", lambda group: list(entries) if group == "benchbase" else [])
    monkeypatch.delenv("BENCHBASE_DISABLE", raising=False)
    monkeypatch.delenv("BENCHBASE_AUTOLOAD", raising=False)

    def add(name, distribution=None, value=None, **attributes):
        target = value or f"fake_{len(entries)}_{name}"
        if value is None:
            module = ModuleType(target)
            vars(module).update(attributes)
            monkeypatch.setitem(sys.modules, target, module)
        dist = Distribution(distribution or f"benchbase-{name}")
        entries.append(EntryPoint(name, target, "benchbase")._for(dist))
        return entries

    return add


def offering(**specs):
    """Marked hooks that return these specs: `backbones=[...]` becomes `benchbase_backbones`."""

    def hook(found):
        @hookimpl
        def offered():
            return found

        return offered

    return {f"benchbase_{kind}": hook(found) for kind, found in specs.items()}


def quarantined(name):
    (found,) = [q for q in Registry.load().quarantined if q.plugin == name]
    return found


def test_specs_are_found_with_their_origin(install):
    spec = backbone()
    install("good", **offering(backbones=[spec]))
    found = Registry.load()
    assert found.get("backbone", "plain") is spec
    offer = found.offer("backbone", "plain")
    assert (offer.plugin, offer.distribution, offer.version, offer.module) == (
        "good",
        "benchbase-good",
        "1.2",
        "fake_0_good",
    )
    assert found.plugins == (Plugin("good", "benchbase-good", "1.2", "fake_0_good"),)
    assert found.quarantined == ()


def test_offers_are_sorted_and_can_be_of_one_kind(install):
    install("b", **offering(modifiers=[modifier("z"), modifier("a")]))
    install("a", **offering(backbones=[backbone("m")]))
    found = Registry.load()
    assert [offer.key for offer in found.offers()] == [("backbone", "m"), ("modifier", "a"), ("modifier", "z")]
    assert [offer.spec.name for offer in found.offers("modifier")] == ["a", "z"]


def test_installation_order_changes_nothing(install):
    install("a", **offering(backbones=[backbone("one")]))
    install("b", **offering(backbones=[backbone("two"), backbone("both")]))
    install("c", value="no_such_module")
    entries = install("d", **offering(backbones=[backbone("both")]))
    first = Registry.load()
    entries.reverse()
    again = Registry.load()
    assert [offer.key for offer in again.offers()] == [offer.key for offer in first.offers()]
    assert again.plugins == first.plugins
    assert [(q.plugin, q.reason) for q in again.quarantined] == [(q.plugin, q.reason) for q in first.quarantined]


def test_an_instance_is_a_plugin(install, monkeypatch):
    class Offers:
        @hookimpl
        def benchbase_backbones(self):
            return [backbone()]

    module = ModuleType("with_instance")
    module.plugin = Offers()
    monkeypatch.setitem(sys.modules, "with_instance", module)
    install("instance", value="with_instance:plugin")
    assert Registry.load().offer("backbone", "plain").module == "with_instance"


def test_a_plugin_that_cannot_be_imported_is_quarantined_and_others_load(install):
    install("broken", value="no_such_module")
    install("good", **offering(backbones=[backbone()]))
    found = Registry.load()
    assert found.get("backbone", "plain").name == "plain"
    (broken,) = found.quarantined
    assert (broken.plugin, broken.distribution, broken.version) == ("broken", "benchbase-broken", "1.2")
    assert broken.reason == "import of 'no_such_module' failed: ModuleNotFoundError: No module named 'no_such_module'"
    assert "Traceback" in broken.traceback and "ModuleNotFoundError" in broken.traceback


def test_a_real_package_that_exits_on_import_is_quarantined(tmp_path, monkeypatch):
    (tmp_path / "leaves_at_once.py").write_text("raise SystemExit('no licence')\n")
    info = tmp_path / "leaves_at_once-3.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaves-at-once\nVersion: 3.4\n")
    (info / "entry_points.txt").write_text("[benchbase]\nleaver = leaves_at_once\n")
    monkeypatch.syspath_prepend(tmp_path)
    broken = quarantined("leaver")
    assert (broken.distribution, broken.version) == ("leaves-at-once", "3.4")
    assert broken.reason == "import of 'leaves_at_once' failed: SystemExit: no licence"
    assert "leaves_at_once.py" in broken.traceback


def test_a_package_without_metadata_is_still_named(tmp_path, monkeypatch):
    (tmp_path / "bare_plugin.py").write_text("raise ValueError('bad.')\n")
    info = tmp_path / "bare_plugin-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[benchbase]\nbare = bare_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert quarantined("bare").reason == "import of 'bare_plugin' failed: ValueError: bad"


def test_an_entry_point_without_distribution_is_unknown(install):
    entries = install("lost", value="no_such_module")
    entries[:] = [EntryPoint("lost", "no_such_module", "benchbase")]
    assert (quarantined("lost").distribution, quarantined("lost").version) == ("unknown", "unknown")


def test_a_class_is_refused(install):
    install("classy", value="collections:OrderedDict")
    assert quarantined("classy").reason == (
        "'collections:OrderedDict' is a class. Expected a module or an instance: "
        "its hooks are called without arguments."
    )


def test_a_misspelt_hook_quarantines_its_plugin(install):
    install("typo", **offering(backbones=[backbone()], modifers=[]))
    found = Registry.load()
    assert found.offers() == []
    assert quarantined("typo").reason.startswith(
        "'benchbase_modifers' is marked @hookimpl but is no hook. Did you mean 'benchbase_modifiers'? Hooks: "
    )


def test_a_hook_without_its_mark_is_refused(install):
    install("unmarked", **offering(backbones=[]), benchbase_modifiers=list)
    assert quarantined("unmarked").reason == (
        "'benchbase_modifiers' is not marked @hookimpl. Expected `@benchbase.hookimpl` above it."
    )


def test_a_plugin_without_hooks_is_refused(install):
    install("nothing")
    assert quarantined("nothing").reason.startswith(
        "no function is marked @hookimpl. Expected at least one hook. Hooks: benchbase_backbones, "
    )


def test_a_hook_with_arguments_is_refused(install):
    @hookimpl
    def benchbase_backbones(config):
        return []

    install("greedy", benchbase_backbones=benchbase_backbones)
    broken = quarantined("greedy")
    assert broken.reason.startswith("a hook does not fit: PluginValidationError: ")
    assert broken.reason.endswith("Hooks take no arguments.")
    assert "config" in broken.traceback


def test_a_hook_that_raises_is_quarantined_with_its_traceback(install):
    @hookimpl
    def benchbase_backbones():
        raise RuntimeError("no weights found")

    install("raises", benchbase_backbones=benchbase_backbones, **offering(modifiers=[modifier()]))
    broken = quarantined("raises")
    assert broken.reason == "benchbase_backbones failed: RuntimeError: no weights found"
    assert "in benchbase_backbones" in broken.traceback
    assert Registry.load().offers() == []


def test_a_spec_that_breaks_the_contract_is_quarantined_at_its_hook(install):
    @hookimpl
    def benchbase_backbones():
        return [backbone("Not A Name")]

    install("bad_spec", benchbase_backbones=benchbase_backbones)
    assert quarantined("bad_spec").reason.startswith("benchbase_backbones failed: PluginError: BackboneSpec")


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "benchbase_backbones returned NoneType. Expected a list of specs."),
        (backbone(), "benchbase_backbones returned BackboneSpec. Expected a list of specs."),
        ((x for x in ()), "benchbase_backbones returned generator. Expected a list of specs."),
        (["plain"], "benchbase_backbones returned str. Expected BackboneSpec."),
        ([BackboneSpec], "benchbase_backbones returned the class BackboneSpec. Expected BackboneSpec."),
        ([modifier()], "benchbase_backbones returned ModifierSpec. Expected BackboneSpec."),
        ([backbone(api=2)], "benchbase_backbones: 'plain' is written for api 2. Expected 1, this benchbase's api."),
    ],
)
def test_what_a_hook_may_not_return(install, returned, reason):
    install("odd", **offering(backbones=returned))
    assert quarantined("odd").reason == reason


def test_the_objectives_hook_says_both_kinds_it_takes(install):
    install("odd", **offering(objectives=[modifier()]))
    assert (
        quarantined("odd").reason
        == "benchbase_objectives returned ModifierSpec. Expected ObjectiveSpec or CombinerSpec."
    )


@pytest.mark.parametrize("values", [("no_such_a", "no_such_b"), ("same", "same")])
def test_one_plugin_name_from_two_distributions_loads_neither(install, values):
    install("twin", distribution="first", value=values[0])
    install("twin", distribution="second", value=values[1])
    found = Registry.load()
    assert [(q.distribution, q.name) for q in found.quarantined] == [("first", ""), ("second", "")]
    reason = (
        f"plugin name 'twin' is claimed by first ({values[0]}) and second ({values[1]}). Uninstall one or rename it."
    )
    assert {q.reason for q in found.quarantined} == {reason}
    assert not {"no_such_a", "no_such_b", "same"} & sys.modules.keys()


def test_an_entry_point_that_its_distribution_repeats_counts_once(install):
    entries = install("again", **offering(backbones=[backbone()]))
    entries *= 2
    assert Registry.load().get("backbone", "plain").name == "plain"


def test_one_part_offered_by_two_plugins_quarantines_the_part_alone(install):
    install("one", **offering(backbones=[backbone("shared"), backbone("own")]))
    install("two", **offering(backbones=[backbone("shared")]))
    found = Registry.load()
    assert [offer.spec.name for offer in found.offers()] == ["own"]
    assert [(q.plugin, q.kind, q.name) for q in found.quarantined] == [
        ("one", "backbone", "shared"),
        ("two", "backbone", "shared"),
    ]
    with pytest.raises(PluginError) as error:
        found.get("backbone", "shared")
    assert str(error.value) == (
        "backbone 'shared' is offered by both one (benchbase-one) and two (benchbase-two); uninstall one or rename it."
    )
    assert [plugin.name for plugin in found.plugins] == ["one", "two"]


def test_one_name_of_two_kinds_is_no_clash(install):
    install("a", **offering(backbones=[backbone("x")], modifiers=[modifier("x")]))
    assert len(Registry.load().offers()) == 2


def test_a_part_offered_twice_by_one_plugin_is_quarantined():
    found = Registry.of([backbone(), backbone()])
    with pytest.raises(PluginError, match=r"^backbone 'plain' is offered twice by tests \(tests\); rename one\.$"):
        found.get("backbone", "plain")
    assert len(found.quarantined) == 1


def test_disabled_plugins_are_not_imported(install, monkeypatch):
    install("good", **offering(backbones=[backbone()]))
    install("bad", value="no_such_module")
    install("worse", value="no_such_module")
    monkeypatch.setenv("BENCHBASE_DISABLE", "bad, worse,")
    found = Registry.load()
    assert found.quarantined == () and found.blocked == ("bad", "worse")
    with pytest.raises(PluginError) as error:
        found.plugin("bad")
    assert str(error.value) == (
        "plugin 'bad' is installed but not loaded. Expected it among those asked for and not in BENCHBASE_DISABLE."
    )
    with pytest.raises(PluginError, match=r"Not loaded: bad, worse\."):
        found.get("backbone", "none")


def test_without_autoload_only_the_named_plugins_load(install, monkeypatch):
    install("one", **offering(backbones=[backbone("a")]))
    install("two", **offering(backbones=[backbone("b")]))
    assert [o.plugin for o in Registry.load(only=["two"]).offers()] == ["two"]
    monkeypatch.setenv("BENCHBASE_AUTOLOAD", "0")
    assert Registry.load().offers() == []
    assert [o.plugin for o in Registry.load(only=["one"]).offers()] == ["one"]
    monkeypatch.setenv("BENCHBASE_AUTOLOAD", "1")
    assert len(Registry.load().offers()) == 2
    monkeypatch.setenv("BENCHBASE_AUTOLOAD", "")
    assert len(Registry.load().offers()) == 2


def test_disabling_wins_over_naming(install, monkeypatch):
    install("one", **offering(backbones=[backbone("a")]))
    monkeypatch.setenv("BENCHBASE_DISABLE", "one")
    assert Registry.load(only=["one"]).offers() == []


def test_a_switch_that_is_none_is_an_error(install, monkeypatch):
    monkeypatch.setenv("BENCHBASE_AUTOLOAD", "never")
    with pytest.raises(BenchbaseError, match=r"^BENCHBASE_AUTOLOAD: 'never' is no switch. Expected 0 or 1\.$"):
        Registry.load()


def test_an_unknown_part_is_answered_with_the_nearest_name_and_all_installed():
    found = Registry.of([modifier("recency"), modifier("boost"), backbone("loss_free")])
    with pytest.raises(PluginError) as error:
        found.get("modifier", "recensy")
    assert str(error.value) == "no modifier named 'recensy'. Did you mean 'recency'? Installed: boost, recency."
    with pytest.raises(PluginError) as error:
        found.get("objective", "loss_free")
    assert str(error.value) == "no objective named 'loss_free'. 'loss_free' is the name of a backbone. Installed: none."


def test_an_unknown_part_names_the_broken_plugins_that_may_offer_it(install):
    install("broken", value="no_such_module")
    with pytest.raises(PluginError) as error:
        Registry.load().get("modifier", "boost")
    assert str(error.value) == (
        "no modifier named 'boost'. Installed: none. Quarantined plugins that may offer it: broken (import of "
        "'no_such_module' failed: ModuleNotFoundError: No module named 'no_such_module')."
    )


def test_an_unknown_kind_is_an_error():
    with pytest.raises(PluginError, match=r"^no kind of part named 'modifer'. Did you mean 'modifier'\? Kinds: b"):
        Registry().get("modifer", "x")


def test_plugins_are_found_by_name_or_the_reason_is_given(install):
    install("good", **offering(backbones=[backbone()]))
    install("broken", value="no_such_module")
    found = Registry.load()
    assert found.plugin("good").distribution == "benchbase-good"
    with pytest.raises(PluginError, match=r"^plugin 'broken' of benchbase-broken is quarantined: import of "):
        found.plugin("broken")
    with pytest.raises(PluginError, match=r"^no plugin named 'god'. Did you mean 'good'\? Installed: good\.$"):
        found.plugin("god")


def test_specs_can_be_added_without_changing_the_registry():
    first = Registry.of([backbone("a")])
    more = first.with_specs(
        [objective("b"), RecommenderSpec(name="c", config=Config, build=build, source="x")], "probe"
    )
    assert [offer.key for offer in more.offers()] == [("backbone", "a"), ("objective", "b"), ("recommender", "c")]
    assert [plugin.name for plugin in more.plugins] == ["probe", "tests"]
    assert more.offer("objective", "b").module == build.__module__
    assert len(first.offers()) == 1
    assert len(first.with_specs([objective("b")]).plugins) == 1


def test_a_spec_added_under_a_taken_name_is_a_clash_and_stays_one():
    clashing = Registry.of([backbone("a")], "one").with_specs([backbone("a")], "two")
    assert clashing.offers() == []
    assert clashing.with_specs([backbone("a")], "three").offers() == []


def test_importing_the_registry_loads_nothing_heavy():
    code = "import sys, benchbase.registry, benchbase.config; print({'torch', 'numpy', 'pandas'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
