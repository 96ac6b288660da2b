"""The committed leaderboards: each page follows from the records beside it, byte for byte, and hides what it must."""

import shutil
from pathlib import Path

import pytest

from benchbase.config import load_suite
from benchbase.leaderboard.publish import write_pages
from benchbase.registry import Registry
from benchbase.runner import read_all
from benchbase.runner.plan import make_plan
from benchbase.runner.records import Record
from benchbase.testing.files import real_folder

ROOT = Path(__file__).resolve().parent.parent
DATA = {"ml-1m": "ml-1m/sasrec", "ml-1m-parity": "ml-1m/sasrec", "backbone-or-loss": "amazon-ticoserec",
        "causalrec-ml-1m": "ml-1m/sasrec", "causalrec-alpha": ".", "causalrec-checkins": "foursquare-nyc-stan",
        "causalrec-beauty": "amazon-ticoserec", "autocdsr-toy-game": "cross-domain/tricdr-toy-game",
        "autocdsr-toy-game-bert4rec": "cross-domain/tricdr-toy-game",
        "autocdsr-toy-game-last": "cross-domain/tricdr-toy-game",
        "autocdsr-five-domains": "cross-domain/syncrec-amazon-sample", "cause-ml-1m": ".",
        "cause-beauty": "amazon-ticoserec", "coat": ".", "parity-ml-1m": ".", "multimodal-ml-1m": ".",
        "ablation-gift-cards": "."}
"""Where the files of a suite lie among the real data."""

RENAMED = {
    "ablation-ml-1m": {
        "ml-1m-first-1000/ratings.dat.gz": "ml-1m/ratings_first_1000_users.dat.gz",
        "ml-1m-first-1000/movies.dat": "ml-1m/movies.dat", "ml-1m-first-1000/users.dat": "ml-1m/users.dat"},
    "interleaving-kuairand": {
        "log_standard_4_22_to_5_08_pure.csv.gz": "kuairand-pure/log_standard_4_25_to_5_08_pure.csv.gz",
        "video_features_basic_pure.csv.gz": "kuairand-pure/video_features_basic_pure.csv.gz"},
    "interleaving-ml-1m": {
        "ml-1m/ratings.dat.gz": "ml-1m/ratings_first_1000_users.dat.gz", "ml-1m/movies.dat": "ml-1m/movies.dat"},
}
"""What the files of a suite are called, and which real file is an extract of each."""

FOLDERS = sorted(path.parent for path in ROOT.glob("leaderboards/*/records"))
PAGES = ("README.md", "leaderboard.csv", "leaderboard.json")

every = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_there_are_some() -> None:
    assert {folder.name for folder in FOLDERS} >= {"quickstart", "ml-1m"}


@every
def test_pages_follow_from_the_records(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / folder.name
    shutil.copytree(folder, again, ignore=shutil.ignore_patterns(*PAGES))
    write_pages(again)
    drawn = {path.name for path in folder.glob("*.svg")}
    assert {path.name for path in again.glob("*.svg")} == drawn
    for page in (*PAGES, *sorted(drawn)):
        assert (again / page).read_bytes() == (folder / page).read_bytes(), page


@every
def test_records_are_whole_and_republish_nothing(folder: Path) -> None:
    records = [record for _, record in read_all(folder)]
    assert records
    for record in records:
        assert isinstance(record, Record), record
        assert not {"topk.parquet", "actions.parquet"} & set(record.facts["files"])


def planned(folder: Path, monkeypatch: pytest.MonkeyPatch, place: Path) -> set[str]:
    """The ids that a suite's runs have today."""
    if name := DATA.get(folder.name):
        monkeypatch.setenv("BENCHBASE_DATA", str(real_folder(name, ROOT)))
    if files := RENAMED.get(folder.name):
        for name, real in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).symlink_to(real_folder(str(Path(real).parent), ROOT) / Path(real).name)
        monkeypatch.setenv("BENCHBASE_DATA", str(place))
    suite = load_suite(folder / "suite.yaml", registry := Registry.load())
    return {cell.run_id for cell in make_plan(suite, registry).cells}


OLDER = pytest.mark.xfail(strict=True, reason="run before its backbones had all their parameters: to be run again")


@pytest.mark.plugins
@pytest.mark.parametrize("folder", [
    pytest.param(folder, id=folder.name, marks=[OLDER] if folder.name == "ml-1m" else []) for folder in FOLDERS])
def test_records_are_those_of_the_suites_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A parameter that a part gained since changes the ids: who runs the suite then makes other records."""
    assert planned(folder, monkeypatch, tmp_path) == {record.run_id for _, record in read_all(folder)}


def block(name: str) -> str:
    """What the README holds between two markers."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    assert text.count(start) == text.count(end) == 1
    return text.split(start)[1].split(end)[0].strip()


@pytest.mark.parametrize("name", ["quickstart", "ml-1m", "ml-1m-parity", "backbone-or-loss", "causal-graph",
                                  "interleaving-ml-1m", "autocdsr-toy-game", "cause-ml-1m", "exposure",
                                  "parity-ml-1m", "drift", "explanations"])
def test_the_excerpt_in_the_readme_stands_in_the_leaderboard(name: str) -> None:
    page = (ROOT / "leaderboards" / name / "README.md").read_text(encoding="utf-8").splitlines()
    lines = [line for line in block(name).splitlines() if line.startswith("|")]
    assert len(lines) >= 5
    assert [line for line in lines if line not in page] == []


def test_the_suite_in_the_readme_is_the_file() -> None:
    suite = (ROOT / "leaderboards" / "ml-1m" / "suite.yaml").read_text(encoding="utf-8")
    assert block("suite") == f"```yaml\n{suite.strip()}\n```"
