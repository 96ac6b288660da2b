"""Releases: what each one's archive is called, what must be in it, and how its files are written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HOME = "https://grouplens.org/datasets/movielens/"

CLOSED = "research only, non-commercial, no redistribution without permission (see the release's README)"
SHARED = "research, non-commercial; redistribution only under the same terms (see the release's README)"


@dataclass(frozen=True)
class Release:
    """One published release.

    `folder` is its name inside the archive. `md5` is the checksum that the publisher puts beside the archive;
    where there is none, `sha256` pins the content of the files that are read.
    """

    name: str
    folder: str
    archive: str
    ratings: str
    movies: str
    licence: str
    separator: str
    header: bool = False
    encoding: str = "utf-8"
    genres: str | None = None
    users: str | None = None
    md5: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def files(self, groups: bool) -> tuple[str, ...]:
        """The files that are read: ratings, movies, where they stand apart the names of the genres, and for groups what
        is told of users, where it is told.
        """
        users = self.users if groups else None
        return tuple(name for name in (self.ratings, self.movies, self.genres, users) if name)


def _csv(size: str, md5: str | None, sha256: Mapping[str, str] | None = None) -> Release:
    return Release(
        f"ml_{size.replace('-', '_')}",
        f"ml-{size}",
        f"ml-{size}.zip",
        "ratings.csv",
        "movies.csv",
        SHARED,
        ",",
        True,
        md5=md5,
        sha256=sha256 or {},
    )


RELEASES = (
    Release(
        "ml_100k",
        "ml-100k",
        "ml-100k.zip",
        "u.data",
        "u.item",
        CLOSED,
        "\t",
        encoding="latin-1",
        genres="u.genre",
        users="u.user",
        md5="0e33842e24a9c977be4e0107933c0723",
    ),
    Release(
        "ml_1m",
        "ml-1m",
        "ml-1m.zip",
        "ratings.dat",
        "movies.dat",
        CLOSED,
        "::",
        encoding="latin-1",
        users="users.dat",
        md5="c4d9eecfca2ab87c1945afe126590906",
    ),
    Release(
        "ml_10m",
        "ml-10M100K",
        "ml-10m.zip",
        "ratings.dat",
        "movies.dat",
        CLOSED,
        "::",
        md5="ce571fd55effeba0271552578f2648bd",
    ),
    _csv("20m", "cd245b17a1ae2cc31bb14903e1204af3"),
    _csv("25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
    _csv("32m", "d472be332d4daa821edc399621853b57"),
    _csv(
        "latest-small",
        None,
        {
            "ratings.csv": "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646",
            "movies.csv": "5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07",
        },
    ),
)
