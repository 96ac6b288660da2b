"""One tox environment `plugin-<folder>` for each distribution under plugins/; what they run stands in tox.ini."""

from pathlib import Path

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet, EnvConfigSet
from tox.config.types import EnvList
from tox.plugin import impl
from tox.session.state import State

PREFIX = "plugin-"


def plugin_environments() -> list[str]:
    folders = Path(__file__).parent.glob("plugins/*/pyproject.toml")
    return sorted(PREFIX + path.parent.name for path in folders)


@impl
def tox_extend_envs() -> list[str]:
    """Make the names known, so that `tox -e plugin-<folder>` and `tox list` take them."""
    return plugin_environments()


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Run them by default too; the longest first, which keeps all processors busy to the end."""
    listed = EnvList(["all", "core", "types", *plugin_environments(), "lint"])
    core_conf.loaders.insert(0, MemoryLoader(env_list=listed))


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    """Let tox.ini say `{plugin}` for the folder's name."""
    env_conf.add_constant(["plugin"], "folder of the plugin under test", str(env_conf.name).removeprefix(PREFIX))
