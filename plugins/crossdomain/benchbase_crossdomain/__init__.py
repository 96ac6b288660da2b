"""Data sets that were published with cross-domain recommenders, each with several domains and users they share."""

from pathlib import Path

from benchbase import DataContext, DatasetSpec, Source, hookimpl
from benchbase.data import Log

from .config import AutoCDSRConfig, DisenCDRConfig, SyNCRecConfig, TriCDRConfig

TRICDR = Source(
    paper="Ma et al. 2023, Triple Sequence Learning for Cross-domain Recommendation",
    url="https://github.com/hulkima/Tri-CDR",
)
SYNCREC = Source(
    paper="Park et al. 2024, Pacer and Runner: Cooperative Learning Framework between Single- and Cross-Domain "
    "Sequential Recommendation",
    url="https://github.com/cpark88/SyNCRec",
)
DISENCDR = Source(
    paper="Cao et al. 2022, DisenCDR: Learning Disentangled Representations for Cross-Domain Recommendation",
    url="https://github.com/cjx96/DisenCDR",
)
AUTOCDSR = Source(
    paper="Ju et al. 2025, Revisiting Self-attention for Cross-domain Sequential Recommendation; data of Gao et al. "
    "2022, KuaiRand",
    url="https://github.com/snap-research/AutoCDSR",
)


def build_tricdr(config: TriCDRConfig, context: DataContext) -> Log:
    """Read the three files; pandas arrives only here."""
    from .mixed import read_mixed

    return read_mixed(config.domains, tricdr_files(config, context))


def tricdr_files(config: TriCDRConfig, context: DataContext) -> list[Path]:
    """The files of the first domain, of the second, and of both: text or, where there is none, the pickles."""
    from .finding import find

    forms = [config.names(form) for form in ("{}.txt", "{}_log_file_final.pkl")]
    return find(context, config.path, TRICDR.url, *forms)


def build_syncrec(config: SyNCRecConfig, context: DataContext) -> Log:
    """Read the sequences; pandas arrives only here."""
    from .lists import read_lists

    return read_lists(*syncrec_files(config, context))


def syncrec_files(config: SyNCRecConfig, context: DataContext) -> list[Path]:
    """The one file."""
    from .finding import find

    return find(context, config.path, SYNCREC.url, config.names)


def build_disencdr(config: DisenCDRConfig, context: DataContext) -> Log:
    """Read both folders; pandas arrives only here. `context.seed` shuffles what has no order."""
    from .pairs import read_pairs

    return read_pairs(config.domains, disencdr_files(config, context), context.seed)


def disencdr_files(config: DisenCDRConfig, context: DataContext) -> list[Path]:
    """The files to train on and held out, of the first domain, then of the second."""
    from .finding import find

    return find(context, config.path, DISENCDR.url, config.names)


def build_autocdsr_kuairand(config: AutoCDSRConfig, context: DataContext) -> Log:
    """Read the rows; pandas arrives only here."""
    from .rows import read_rows

    return read_rows(autocdsr_kuairand_files(config, context))


def autocdsr_kuairand_files(config: AutoCDSRConfig, context: DataContext) -> list[Path]:
    """The files of every part that is read, or a tar of them."""
    from .archives import ENDING
    from .finding import find_inside

    home = f"{AUTOCDSR.url}, in the folders training, evaluation and testing of data"
    return [path for part in config.parts for path in find_inside(context, config.path, home, part, ENDING)]


@hookimpl
def benchbase_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="tricdr", config=TriCDRConfig, build=build_tricdr, files=tricdr_files, source=TRICDR,
            licence="none stated; made of Amazon's reviews of 2018",
        ),
        DatasetSpec(
            name="syncrec", config=SyNCRecConfig, build=build_syncrec, files=syncrec_files, source=SYNCREC,
            licence="none stated; made of Amazon's reviews of 2018",
        ),
        DatasetSpec(
            name="disencdr", config=DisenCDRConfig, build=build_disencdr, files=disencdr_files, source=DISENCDR,
            licence="MIT (the repository); made of Amazon's reviews of 2014",
        ),
        DatasetSpec(
            name="autocdsr_kuairand", config=AutoCDSRConfig, build=build_autocdsr_kuairand,
            files=autocdsr_kuairand_files, source=AUTOCDSR, licence="CC BY-SA 4.0",
        ),
    ]
