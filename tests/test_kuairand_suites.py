"""The suites for KuaiRand-1K and -27K, whose files are not at hand: they run on files of the same form."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchbase.cli import main
from benchbase.config import load_suite
from benchbase.registry import Registry
from benchbase.runner.plan import make_plan

LEADERBOARDS = Path(__file__).resolve().parents[1] / "leaderboards"
APRIL_22, DAYS, DAY = 1_650_556_800, 17, 86_400
LOG = ("user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
       "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab")
VIDEOS = ("video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,"
          "server_height,music_id,music_type,tag")

pytestmark = pytest.mark.plugins


def put_release(folder: Path, size: str) -> None:
    """Twelve users who click 30 of 40 videos each, over the days of the second half of the log."""
    draw, lines = np.random.default_rng(0), []
    for user in range(12):
        videos = draw.permutation(40)[:30]
        for place, video in enumerate(videos):
            second = APRIL_22 + place * DAYS * DAY // 30 + int(draw.integers(1000))
            click = [1, 0, 0, 0, 0, 0, int(draw.integers(2))]
            lines.append([user, video, 20220422, 1800, 1000 * second, *click, 5000, 9000, 0, 0, 0, 0, 1])
    folder.mkdir(parents=True)
    parts = ("_part1", "_part2") if size == "27k" else ("",)
    for number, part in enumerate(parts):
        for when in ("4_08_to_4_21", "4_22_to_5_08"):
            mine = lines[number::len(parts)] if when == "4_22_to_5_08" else lines[:1]
            write(folder / f"log_standard_{when}_{size}{part}.csv", LOG, mine)
    write(folder / f"video_features_basic_{size}.csv", VIDEOS, [
        [video, 1, "NORMAL", "2022-04-10", "Web", 0.0, 9000.0, 720.0, 1280.0, 5, float(video % 6), f'"{video % 4},9"']
        for video in range(40)])


def write(path: Path, head: str, lines: list[list[object]]) -> None:
    path.write_text("".join(f"{line}\n" for line in [head, *(",".join(map(str, each)) for each in lines)]))


@pytest.mark.parametrize("size", ["1k", "27k"])
def test_a_suite_runs_on_files_of_its_form(size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_release(tmp_path / f"KuaiRand-{size.upper()}" / "data", size)
    monkeypatch.setenv("BENCHBASE_DATA", str(tmp_path))
    text = (LEADERBOARDS / f"cause-kuairand-{size}" / "suite.yaml").read_text(encoding="utf-8")
    for long, short in (("epochs: 60", "epochs: 1"), ("seeds: [1, 2, 3]", "seeds: [1]"), ("clusters=16", "clusters=3"),
                        ("windows: chunks}", "windows: chunks, device: cpu}"), ("window: 64}", "window: 8}"),
                        ("width=64,layers=3,heads=8", "width=16,layers=1,heads=2")):
        assert long in text
        text = text.replace(long, short)
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    suite = load_suite(path, registry := Registry.load())
    plan = make_plan(suite, registry)
    assert len(plan.cells) == 20 and not [cell.reason for cell in plan.cells if cell.reason]
    result = CliRunner().invoke(main, ["run", str(path), "--out", str(tmp_path / "out"), "--only", "label=GenRank 64*",
                                       "--only", "label=HSTU 64*"])
    assert result.exit_code == 0, result.output
    assert "8 ok" in result.output and "history" in result.output
