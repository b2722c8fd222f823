"""What became of every source and every candidate clip: a SQLite file that survives kill -9.

Only one process writes to it. Shards, manifest and report are a function of these rows and of the
content-addressed clip folders they name.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import DataError
from curation.video.sources import sha256_of, stamp_of
from datasets.storage import disk_errors_named

SCHEMA_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, num_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    sha256 TEXT PRIMARY KEY, name TEXT NOT NULL, also_named TEXT NOT NULL,
    sidecar TEXT NOT NULL, grouping TEXT NOT NULL, num_bytes INTEGER NOT NULL,
    fingerprint TEXT NOT NULL, code TEXT, evidence TEXT NOT NULL, facts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clips (
    clip_id TEXT PRIMARY KEY, source_sha256 TEXT NOT NULL REFERENCES sources(sha256),
    status TEXT NOT NULL, code TEXT, evidence TEXT NOT NULL, record TEXT NOT NULL, folder TEXT);
CREATE TABLE IF NOT EXISTS made (request TEXT PRIMARY KEY, source_sha256 TEXT NOT NULL,
    clip TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS groups (own TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS packed (clip_id TEXT PRIMARY KEY, shard TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS looks (folder TEXT PRIMARY KEY, looks TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS purged (sha256 TEXT PRIMARY KEY);
CREATE INDEX IF NOT EXISTS clips_by_source ON clips(source_sha256);
"""


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """A candidate clip and its status."""

    clip_id: str
    source_sha256: str
    status: str  # kept or rejected
    code: str | None  # why it was rejected
    evidence: dict[str, Any]  # the numbers that decided, next to their thresholds
    record: dict[str, Any]  # the ``Clip`` as plain values
    folder: str | None  # of its tracks, below out/clips


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """A source and its status; ``code`` is set if it was rejected before any scene was examined."""

    sha256: str
    name: str
    also_named: list[str] = field(default_factory=list)
    sidecar: dict[str, Any] = field(default_factory=dict)
    group: str
    num_bytes: int
    fingerprint: str  # of everything that decides; if it changes, the source is done again
    code: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)  # header, timings, signals file


class Ledger:
    """The SQLite file of one output folder."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with disk_errors_named(path):
                self._database = sqlite3.connect(path)
                self._prepare(path)
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path} is not a curation ledger: {error}") from error

    def _prepare(self, path: Path) -> None:
        """Make the tables of a new ledger, check an old one; what is refused is closed."""
        try:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_TABLES)
            self._check_schema(path)
        except BaseException:
            self._database.close()
            raise

    def _check_schema(self, path: Path) -> None:
        stored = self._one("SELECT value FROM meta WHERE key='schema'")
        if stored is None:
            with self._database:
                self._database.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA_VERSION,))
        elif int(stored[0]) != SCHEMA_VERSION:
            raise DataError(
                f"{path} has schema {stored[0]}, this program writes {SCHEMA_VERSION}; "
                "choose another out=DIR"
            )

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def hash_of(self, path: Path) -> str:
        """sha256 of a file or folder of frames, cached by size and modification time."""
        known = self.known_hash(path)
        if known is not None:
            return known
        stamp, digest = stamp_of(path), sha256_of(path)
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (_safe(str(path.resolve())), *stamp, digest),
            )
        return digest

    def known_hash(self, path: Path) -> str | None:
        """``hash_of`` if it is cached; None: the file would have to be read."""
        known = self._one(
            "SELECT sha256 FROM files WHERE path=? AND num_bytes=? AND mtime_ns=?",
            (_safe(str(path.resolve())), *stamp_of(path)),
        )
        return None if known is None else str(known[0])

    def fingerprint_of(self, sha256: str) -> str | None:
        """Fingerprint of a source when it was last processed; None: never."""
        row = self._one("SELECT fingerprint FROM sources WHERE sha256=?", (sha256,))
        return None if row is None else str(row[0])

    def record(self, source: SourceRow, clips: Iterable[ClipRow]) -> None:
        """Replace everything known about a source, in one transaction.

        Clips that were made are also kept in ``made``, so that changing a threshold back costs
        nothing.
        """
        clips = list(clips)
        with self._database:
            self._database.execute("DELETE FROM clips WHERE source_sha256=?", (source.sha256,))
            self._database.execute(
                "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    source.sha256, _safe(source.name), _json(source.also_named),
                    _json(source.sidecar), _safe(source.group), source.num_bytes,
                    source.fingerprint, source.code, _json(source.evidence), _json(source.facts),
                ),
            )  # fmt: skip
            self._insert(clips)
            self._database.executemany(
                "INSERT OR REPLACE INTO made VALUES (?, ?, ?)",
                [
                    (clip.record["request"], clip.source_sha256, _json(asdict(clip)))
                    for clip in clips
                    if clip.record.get("request")
                ],
            )

    def _insert(self, clips: Iterable[ClipRow]) -> None:
        self._database.executemany(
            "INSERT INTO clips VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    clip.clip_id, clip.source_sha256, clip.status, clip.code,
                    _json(clip.evidence), _json(clip.record), clip.folder,
                )
                for clip in clips
            ),
        )  # fmt: skip

    def judge_again(self, judged: Iterable[tuple[SourceRow, list[ClipRow] | None]]) -> None:
        """Store new verdicts on known sources, in one transaction; clips None: unchanged."""
        judged = list(judged)
        with self._database:
            self._database.executemany(
                "UPDATE sources SET fingerprint=?, code=?, evidence=?, facts=? WHERE sha256=?",
                [
                    (s.fingerprint, s.code, _json(s.evidence), _json(s.facts), s.sha256)
                    for s, _ in judged
                ],
            )
            changed = [(source, clips) for source, clips in judged if clips is not None]
            self._database.executemany(
                "DELETE FROM clips WHERE source_sha256=?", [(s.sha256,) for s, _ in changed]
            )
            self._insert(clip for _, clips in changed for clip in clips)

    def absorb(self, path: Path, *, is_newer: bool) -> None:
        """Merge every row of another ledger, in one transaction.

        Of a source that both know, the other one's rows win if ``is_newer``.

        Raises:
            DataError: not a ledger of this version.
        """
        with Ledger(path) as other:  # validates it, recovers a killed run's write-ahead log
            others = {row.sha256 for row in other.sources()}
        known = {str(row[0]) for row in self._database.execute("SELECT sha256 FROM sources")}
        taken = sorted(others if is_newer else others - known)
        self._database.execute("ATTACH ? AS other", (str(path),))
        try:
            with self._database:
                self._database.execute("CREATE TEMP TABLE taken (sha256 TEXT PRIMARY KEY)")
                self._database.executemany("INSERT INTO taken VALUES (?)", [(s,) for s in taken])
                self._database.execute(
                    "DELETE FROM clips WHERE source_sha256 IN (SELECT sha256 FROM taken)"
                )
                for table, column in (("sources", "sha256"), ("clips", "source_sha256")):
                    self._database.execute(
                        f"INSERT OR REPLACE INTO main.{table} SELECT * FROM other.{table} "
                        f"WHERE {column} IN (SELECT sha256 FROM taken)"
                    )
                for table in ("made", "files", "purged"):
                    self._database.execute(
                        f"INSERT OR REPLACE INTO main.{table} SELECT * FROM other.{table}"
                    )
                self._database.execute("DROP TABLE taken")
        finally:
            self._database.execute("DETACH other")

    def failed(self, codes: Iterable[str]) -> dict[str, SourceRow]:
        """Sources that were rejected with one of these codes, by sha256."""
        wanted = set(codes)
        return {row.sha256: row for row in self.sources() if row.code in wanted}

    def made_of(self, sha256: str) -> dict[str, ClipRow]:
        """Every clip ever made of a source, by request."""
        rows = self._database.execute(
            "SELECT request, clip FROM made WHERE source_sha256=?", (sha256,)
        )
        return {request: ClipRow(**json.loads(clip)) for request, clip in rows}

    def update_names(self, sources: Iterable[SourceRow]) -> None:
        """Update fields that need no new work: names, licence, url, group, split."""
        with self._database:
            self._database.executemany(
                "UPDATE sources SET name=?, also_named=?, sidecar=?, grouping=? WHERE sha256=?",
                [
                    (
                        _safe(source.name), _json(source.also_named),
                        _json(source.sidecar), _safe(source.group), source.sha256,
                    )
                    for source in sources
                ],
            )  # fmt: skip

    def digests(self) -> list[str]:
        """sha256 of all sources, sorted."""
        rows = self._database.execute("SELECT sha256 FROM sources ORDER BY sha256")
        return [row[0] for row in rows]

    def sources(self, first: str = "", last: str = "~") -> list[SourceRow]:
        """Sources with a sha256 from ``first`` to ``last``, sorted by it."""
        rows = self._database.execute(
            "SELECT sha256, name, also_named, sidecar, grouping, num_bytes, fingerprint, code, "
            "evidence, facts FROM sources WHERE sha256 BETWEEN ? AND ? ORDER BY sha256",
            (first, last),
        )
        return [
            SourceRow(
                sha256=row[0], name=row[1], also_named=json.loads(row[2]),
                sidecar=json.loads(row[3]), group=row[4], num_bytes=row[5], fingerprint=row[6],
                code=row[7], evidence=json.loads(row[8]), facts=json.loads(row[9]),
            )
            for row in rows
        ]  # fmt: skip

    def clips(self) -> list[ClipRow]:
        """All candidate clips, in order of clip_id."""
        return list(self._clips("ORDER BY clip_id"))

    def clips_by_source(self, first: str, last: str) -> dict[str, list[ClipRow]]:
        """Candidate clips of the sources from ``first`` to ``last``, by sha256.

        Clips of one source are sorted here: in SQLite, sorting would move the long records.
        """
        found: dict[str, list[ClipRow]] = {}
        for clip in self._clips("WHERE source_sha256 BETWEEN ? AND ?", (first, last)):
            found.setdefault(clip.source_sha256, []).append(clip)
        for clips in found.values():
            clips.sort(key=lambda clip: clip.clip_id)
        return found

    def _clips(self, chosen: str, values: tuple[Any, ...] = ()) -> Iterator[ClipRow]:
        rows = self._database.execute(
            "SELECT clip_id, source_sha256, status, code, evidence, record, folder "
            f"FROM clips {chosen}",
            values,
        )
        for row in rows:
            yield ClipRow(
                clip_id=row[0], source_sha256=row[1], status=row[2], code=row[3],
                evidence=json.loads(row[4]), record=json.loads(row[5]), folder=row[6],
            )  # fmt: skip

    def recall(self, key: str) -> Any:
        """The value stored under a key, such as "models" (of the last run); None: not stored."""
        row = self._one("SELECT value FROM meta WHERE key=?", (key,))
        return None if row is None else json.loads(row[0])

    def remember(self, key: str, value: Any) -> None:
        """Store a value about the folder as a whole."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, _json(value)))

    def looks(self) -> dict[str, dict[str, Any]]:
        """Folder of tracks -> the clip's colour profile (``ColourProfile.pack``)."""
        return {row[0]: json.loads(row[1]) for row in self._database.execute("SELECT * FROM looks")}

    def record_looks(self, looks: dict[str, dict[str, Any]]) -> None:
        """Store newly measured colour profiles (table ``looks``)."""
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO looks VALUES (?, ?)",
                [(folder, _json(values)) for folder, values in looks.items()],
            )

    def groups(self) -> dict[str, str]:
        """Own group -> the name of the group it was first merged into."""
        return dict(self._database.execute("SELECT own, name FROM groups"))

    def shards(self) -> dict[str, str]:
        """clip_id -> file name of its shard."""
        return dict(self._database.execute("SELECT clip_id, shard FROM packed"))

    def record_places(self, groups: dict[str, str], shard_of: dict[str, str]) -> None:
        """Store groups and shards before any shard is written.

        Groups are only ever removed by ``purge``; shards are replaced.
        """
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO groups VALUES (?, ?)", groups.items())
            self._database.execute("DELETE FROM packed")
            self._database.executemany("INSERT INTO packed VALUES (?, ?)", shard_of.items())

    def purge(self, sha256: str) -> None:
        """Delete everything about a source except its sha256, which keeps it excluded."""
        with self._database:
            self._database.execute(
                "DELETE FROM packed WHERE clip_id IN "
                "(SELECT clip_id FROM clips WHERE source_sha256=?)",
                (sha256,),
            )
            self._database.execute(
                "DELETE FROM groups WHERE own IN (SELECT grouping FROM sources WHERE sha256=?) "
                "AND own NOT IN (SELECT grouping FROM sources WHERE sha256<>?)",
                (sha256, sha256),
            )
            for table in ("clips", "made"):
                self._database.execute(f"DELETE FROM {table} WHERE source_sha256=?", (sha256,))
            for table in ("sources", "files"):
                self._database.execute(f"DELETE FROM {table} WHERE sha256=?", (sha256,))
            known = "SELECT folder FROM clips WHERE folder IS NOT NULL"
            self._database.execute(f"DELETE FROM looks WHERE folder NOT IN ({known})")
            self._database.execute("INSERT OR IGNORE INTO purged VALUES (?)", (sha256,))
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.execute("VACUUM")  # deleted rows would stay readable in the file

    def folders(self, kind: str) -> set[str]:
        """Folders named by any row: "folder" of tracks (out/clips), or of "people" (out/people)."""
        path = "$.folder" if kind == "folder" else "$.record.people"
        today = "folder" if kind == "folder" else "json_extract(record, '$.people')"
        rows = self._database.execute(
            f"SELECT {today} FROM clips UNION SELECT json_extract(clip, '{path}') FROM made"
        )
        return {row[0] for row in rows if row[0] is not None}

    def purged(self) -> set[str]:
        """sha256 of purged sources."""
        return {row[0] for row in self._database.execute("SELECT sha256 FROM purged")}

    def hash_at(self, path: Path) -> str | None:
        """sha256 of the file last seen at this path; None: never seen."""
        row = self._one("SELECT sha256 FROM files WHERE path=?", (_safe(str(path.resolve())),))
        return None if row is None else str(row[0])

    def _one(self, query: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        return self._database.execute(query, values).fetchone()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    """NumPy scalars as Python numbers."""
    return value.item()


def _safe(name: str) -> str:
    """A file name as valid text: undecodable bytes become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")
