"""KuaiRand: short videos shown in an app, and all that users did with them, in three sizes."""

from pathlib import Path

from benchbase import DataContext, DatasetSpec, Source, hookimpl
from benchbase.data import Log

from .config import ClicksConfig, KuaiRandConfig

SOURCE = Source(
    paper="Gao et al. 2022, KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed Videos",
    url="https://kuairand.com",
)

FOLDERS = {"pure": "KuaiRand-Pure", "1k": "KuaiRand-1K", "27k": "KuaiRand-27K"}


def build_kuairand(config: KuaiRandConfig, context: DataContext) -> Log:
    """Read the logs and the videos; pandas arrives only here."""
    from .reading import read_release

    return read_release(config, kuairand_files(config, context))


def build_clicks(config: ClicksConfig, context: DataContext) -> Log:
    """Read the clicked showings and their videos."""
    from .reading import read_clicks

    return read_clicks(config, kuairand_files(config, context))


def kuairand_files(config: ClicksConfig | KuaiRandConfig, context: DataContext) -> list[Path]:
    """The files that are read, as `config.names` has them.

    Without `path` they may lie in a folder where data is looked for, or where the archive of the release puts them.
    """
    from benchbase.data import MissingFile, find_files

    folders = [".", f"{FOLDERS[config.size]}/data"] if config.path is None else [config.path]
    told = []
    for folder in folders:
        try:
            return find_files(context, folder, config.names)
        except MissingFile as error:
            told.append(str(error))
    raise MissingFile(f"{told[0] if config.path else ' '.join(told)} The data is at {SOURCE.url}.")


@hookimpl
def benchbase_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="kuairand", config=KuaiRandConfig, build=build_kuairand, files=kuairand_files, source=SOURCE,
            licence="CC BY-SA 4.0",
        ),
        DatasetSpec(
            name="kuairand_clicks", config=ClicksConfig, build=build_clicks, files=kuairand_files, source=SOURCE,
            licence="CC BY-SA 4.0",
        ),
    ]
