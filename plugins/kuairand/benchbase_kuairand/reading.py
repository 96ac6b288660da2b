"""The official CSV files: logs of what was shown and what came of it, and the videos."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchbase.data import ItemTable, Log, UserTable, counts_before
from benchbase.data.table import Column, Table, whole

from .config import ClicksConfig, KuaiRandConfig

MILLISECONDS = 1000

SCENARIOS = 15
"""Places in the app where a video is shown."""

FLAG = whole(0, 1, "0 or 1")
ID = whole(0, 2**31 - 1, "a number from 0 on")
AMOUNT = whole()

ACTIONS = {
    "is_click": "click",
    "is_like": "like",
    "is_follow": "follow",
    "is_comment": "comment",
    "is_forward": "forward",
    "is_hate": "hate",
    "long_view": "long_view",
}
"""What users did, 0 or 1, by column; the values are the names that metrics have, as in `ne.long_view`."""

CLICKS = {"user_id": np.int32, "video_id": np.int32, "time_ms": np.int64, "long_view": np.int8}
"""The columns that are read of clicked showings, and what holds their values."""

SHOWINGS = {**CLICKS, **dict.fromkeys(ACTIONS, np.int8), "play_time_ms": np.int64, "duration_ms": np.int64,
            "is_rand": np.int8, "tab": np.int8}
"""The columns that are read of all showings."""

LOG = Table(
    {
        "user_id": ID,
        "video_id": ID,
        "date": AMOUNT,
        "hourmin": AMOUNT,
        "time_ms": AMOUNT,
        **dict.fromkeys(ACTIONS, FLAG),
        "play_time_ms": AMOUNT,
        "duration_ms": AMOUNT,
        "profile_stay_time": AMOUNT,
        "comment_stay_time": AMOUNT,
        "is_profile_enter": FLAG,
        "is_rand": FLAG,
        "tab": whole(0, SCENARIOS - 1, f"a scenario from 0 to {SCENARIOS - 1}"),
    },
    separator=",",
    header=True,
)


def _number(text: str) -> bool:
    try:
        return not text or ("_" not in text and float(text) >= 0)
    except ValueError:
        return False


WORD = Column("category", lambda text: True, "a word")
NUMBER = Column("str", _number, "a number from 0 on, or nothing")



def _durations(chunk: Any) -> Any:
    """The chunk with durations as numbers, NaN where there is none."""
    import pandas as pd

    text = chunk["video_duration"]
    chunk["video_duration"] = pd.to_numeric(text.where(text != "")).astype("float64")
    if (chunk["video_duration"] < 0).any():
        raise ValueError("a duration is below 0")
    return chunk


VIDEOS = Table(
    {
        "video_id": ID,
        "author_id": ID,
        "video_type": WORD,
        "upload_dt": WORD,
        "upload_type": WORD,
        "visible_status": WORD,
        "video_duration": NUMBER,
        "server_width": WORD,
        "server_height": WORD,
        "music_id": WORD,
        "music_type": WORD,
        "tag": WORD,
    },
    separator=",",
    header=True,
    quotes=True,
    prepare=_durations,
)

LABELS = {"video_type": "kind", "upload_type": "upload", "music_type": "music", "tag": "tag"}
"""The columns that become categories, with what they are called."""


GROUPS = ("user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author",
          *(f"{what}_user_num_range" for what in ("follow", "fans", "friend")), "register_days_range")
"""What users may be grouped by, of their file."""

USERS = Table(
    {
        "user_id": ID,
        **dict.fromkeys(GROUPS[:4], WORD),
        **{f"{what}_user_num{end}": WORD for what in ("follow", "fans", "friend") for end in ("", "_range")},
        "register_days": WORD,
        "register_days_range": WORD,
        **{f"onehot_feat{place}": WORD for place in range(18)},
    },
    separator=",",
    header=True,
    quotes=True,
)

UNKNOWN = ("UNKNOWN", "-124", "-124.0")
"""What stands where nothing is known."""


def read_release(config: KuaiRandConfig, files: list[Path]) -> Log:
    """The log of a release; order of equal milliseconds is left to the seeded hash. Errors: `DataError`."""
    logs, videos, users = _parted(files, len(config.logs), int(config.videos))
    events, again = _once(_events(logs))
    user, video, time = (events[name] for name in ("user_id", "video_id", "time_ms"))
    flags = {name: events[column] for column, name in ACTIONS.items()}
    features = _known_before(events)
    if config.counts:
        features |= counts_before(user, video, time, flags)
    play_time = np.log1p(events["play_time_ms"] / MILLISECONDS).astype(np.float32)
    return Log(user, video, time, {**flags, "play_time": play_time}, features,
               _videos(videos[0], config.domain == "music") if videos else None, _users(users),
               ticks=MILLISECONDS, file_order=False,
               removed={"showings that are logged again": again} if again else {})


def _parted(files: list[Path], n_logs: int, n_videos: int) -> tuple[list[Path], list[Path], list[Path]]:
    """The files of logs, of videos and of users."""
    return files[:n_logs], files[n_logs : n_logs + n_videos], files[n_logs + n_videos :]


def read_clicks(config: ClicksConfig, files: list[Path]) -> Log:
    """The clicked showings of a release, whether each was viewed long, and the categories of their videos.

    Whatever was shown and not clicked is left out while it is read. Errors: `DataError`.
    """
    logs, (videos,), users = _parted(files, len(config.standard(config.period)), 1)
    shown = 0

    def clicked(chunk: Any) -> Any:
        nonlocal shown
        shown += len(chunk)
        return chunk[chunk["is_click"] == 1]

    events, again = _once(_events(logs, CLICKS, clicked))
    left_out = {"showings without a click": shown - len(events["user_id"]) - again,
                "showings that are logged again": again}
    return Log(events["user_id"], events["video_id"], events["time_ms"], {"long_view": events["long_view"]}, {},
               _videos(videos, False, np.unique(events["video_id"])), _users(users),
               ticks=MILLISECONDS, file_order=False, removed={why: count for why, count in left_out.items() if count})


def _events(paths: list[Path], narrow: Mapping[str, Any] = SHOWINGS,
            keep: Callable[[Any], Any] = lambda chunk: chunk) -> dict[str, np.ndarray]:
    """Columns of all files, as narrow as they are, of the lines that are kept."""
    parts: dict[str, list[np.ndarray]] = {name: [np.empty(0, kind)] for name, kind in narrow.items()}
    for path in paths:
        for chunk in LOG.read(path):
            kept = keep(chunk)
            for name, kind in narrow.items():
                parts[name].append(kept[name].to_numpy().astype(kind))
    return {name: np.concatenate(parts.pop(name)) for name in narrow}


def _once(events: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
    """Every showing once, with all that any of its lines says happened; and how many lines go.

    The logs hold some lines twice or more: same user, video and millisecond. The copy would tell what is asked.
    """
    import pandas as pd

    key = ["user_id", "video_id", "time_ms"]
    keys = pd.DataFrame({name: events[name] for name in key})
    again = keys.duplicated().to_numpy()
    if not again.any():
        return events, 0
    logged_again = np.flatnonzero(keys.duplicated(keep=False).to_numpy())
    some = pd.DataFrame({name: values[logged_again] for name, values in events.items()})
    most = some.groupby(key, sort=False)[[name for name in events if name not in key]].transform("max")
    for name in most.columns:
        events[name][logged_again] = most[name].to_numpy()
    return {name: values[~again] for name, values in events.items()}, int(np.count_nonzero(again))


def _known_before(events: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is known of a showing before its user acts: where in the app, whether at random, how long the video is."""
    tab = events["tab"]
    return {
        **{f"tab_{place}": (tab == place).astype(np.float32) for place in np.unique(tab).tolist()},
        **({"random": events["is_rand"].astype(np.float32)} if events["is_rand"].any() else {}),
        "duration": np.log1p(events["duration_ms"] / MILLISECONDS).astype(np.float32),
    }


def _videos(path: Path, by_music: bool, among: np.ndarray | None = None) -> ItemTable:
    """Authors, durations in seconds (NaN where not known) and categories of the videos; perhaps domains by music.

    `among`: only these are kept.
    """
    import pandas as pd

    wanted = ["video_id", "author_id", "video_duration", *LABELS]
    table = pd.concat([
        (chunk if among is None else chunk[chunk["video_id"].isin(among)])[wanted].astype(dict.fromkeys(LABELS, "str"))
        for chunk in VIDEOS.read(path)])
    seconds = table["video_duration"].to_numpy() / MILLISECONDS
    categories = {name: _labels(table[column]) for column, name in LABELS.items()}
    domain = np.array(["".join(labels) for labels in categories["music"]], object) if by_music else None
    columns = {"author": table["author_id"].to_numpy(), "duration": seconds.astype(np.float32)}
    return ItemTable(table["video_id"].to_numpy(), categories, columns, domain)


def _users(files: list[Path]) -> UserTable | None:
    """What the file of the users, if it is read, tells of each."""
    import pandas as pd

    if not files:
        return None
    table = pd.concat([chunk[["user_id", *GROUPS]].astype(dict.fromkeys(GROUPS, "str"))
                       for chunk in USERS.read(files[0])])
    columns = {name: table[name].where(~table[name].isin((*UNKNOWN, "nan")), "").to_numpy(object) for name in GROUPS}
    return UserTable(table["user_id"].to_numpy(), columns)


def _labels(texts: Any) -> list[tuple[str, ...]]:
    """The labels of every video: `20,43` has two, `9.0` is `9`, and nothing and `UNKNOWN` are none."""
    made = {
        text: tuple(label.removesuffix(".0") for label in text.split(",") if label and label != "UNKNOWN")
        for text in texts.unique()
    }
    return [made[text] for text in texts]
