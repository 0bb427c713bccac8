"""One SQLite file in the user's folder: the index of corrections, the model versions, the worklists and the journal.

Every change is one transaction: it is on disk when `Database.write` ends, or nothing has changed. Rows have a few
columns to select them by and a JSON record, which one dataclass reads. Images, masks and weights are files beside it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

from napari_wavegms.errors import InputError
from napari_wavegms.storage.atomic import create_file, make_folder
from napari_wavegms.storage.plain import parse_json, read_as
from napari_wavegms.storage.user_data import user_folder

FILE = "wavegms.sqlite3"
_APPLICATION_ID = 0x57474D53  # "WGMS"
_USER_VERSION = 1
_MOST_SHOWN = 300  # characters of a value that is not ours
_PATIENCE = 20.0  # seconds; a transaction takes a fraction of one

_SCHEMA = """
CREATE TABLE corrections (
    number INTEGER PRIMARY KEY,
    image TEXT NOT NULL,
    place INTEGER NOT NULL,              -- among those in force
    in_force INTEGER NOT NULL CHECK (in_force IN (0, 1)),
    record TEXT NOT NULL
);
CREATE UNIQUE INDEX corrections_in_force ON corrections (image) WHERE in_force;
CREATE TABLE withdrawals (
    id INTEGER PRIMARY KEY,
    correction INTEGER NOT NULL REFERENCES corrections,
    record TEXT NOT NULL
);

CREATE TABLE versions (
    number INTEGER PRIMARY KEY,
    record TEXT NOT NULL
);
CREATE TABLE version_choices (
    id INTEGER PRIMARY KEY,
    action TEXT NOT NULL CHECK (action IN ('use', 'back')),
    version INTEGER REFERENCES versions, -- none for the model before the first version
    time TEXT NOT NULL
);

CREATE TABLE split_groups (
    name BLOB PRIMARY KEY,
    side TEXT NOT NULL CHECK (side IN ('train', 'held_out'))
) WITHOUT ROWID;
CREATE TABLE split_contents (
    content BLOB PRIMARY KEY,
    side TEXT NOT NULL CHECK (side IN ('train', 'held_out'))
) WITHOUT ROWID;

CREATE TABLE worklist (
    folder BLOB NOT NULL,
    name BLOB NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;

CREATE TABLE journal_sessions (          -- edits of an image that follow from each other
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image TEXT NOT NULL,
    owner TEXT NOT NULL,                 -- the program that works on it
    ending TEXT CHECK (ending IN ('approved', 'saved', 'discarded'))
);
CREATE INDEX journal_unfinished ON journal_sessions (image) WHERE ending IS NULL;
CREATE TABLE journal_heads (             -- what the chain of an image has come to, so that a cut tail is noticed
    image TEXT PRIMARY KEY,
    entries INTEGER NOT NULL,
    link TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    image TEXT NOT NULL,
    position INTEGER NOT NULL,           -- from 1 up in the chain of the image
    session INTEGER NOT NULL REFERENCES journal_sessions,
    kind TEXT NOT NULL CHECK (kind IN ('begin', 'edit', 'close', 'compact')),
    number INTEGER,                      -- of an edit, from 1 up over all edits of the image
    record TEXT NOT NULL,
    pixels BLOB,
    digest TEXT NOT NULL,                -- of the pixels, also when they are gone
    link TEXT NOT NULL,                  -- of everything above and the link before
    UNIQUE (image, position),
    UNIQUE (image, number)
);
CREATE INDEX journal_by_session ON journal (session, position);
"""

# Files of earlier versions, which this one does not read.
_OLD_FORM = ("corrections/*.jsonl", "versions/*.jsonl", "journal/*.jsonl", "reviews/*.jsonl")

_REMEDY = "copy it from a backup, or move it away to begin a new one, while the masks and models beside it stay."

T = TypeVar("T")


class Database:
    """The database of a user's folder, which any number of threads and processes may share.

    Each `read` and `write` opens the file anew, so a deleted file, other programs and other threads do no harm. The
    folder (`user_folder()` by default) and the file are created by the first `write`.

    Examples
    --------
    >>> import tempfile
    >>> database = Database(tempfile.mkdtemp())
    >>> with database.write("The version was not kept") as connection:
    ...     _ = connection.execute("INSERT INTO versions VALUES (1, '{}')")
    >>> with database.read() as connection:
    ...     connection.execute("SELECT number FROM versions").fetchall()
    [(1,)]
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = user_folder() if folder is None else Path(folder)
        self.path = self.folder / FILE

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence if the folder has files of an earlier version."""
        names = [pattern.partition("/")[0] for pattern in _OLD_FORM if next(self.folder.glob(pattern), None)]
        sentence = (
            f"{self.folder} has data of an earlier version of napari-wavegms ({', '.join(names)}), which is left as it "
            "is and not used; move it elsewhere to get rid of this message."
        )
        return (sentence,) if names else ()

    def verify(self) -> list[str]:
        """A sentence where the file is damaged, or rows refer to others that are gone; reads all of it."""
        with self.read() as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            lost = {str(table) for table, *_ in connection.execute("PRAGMA foreign_key_check")}
        damage = [f"{self.path} is damaged ({said}); {_REMEDY}"] if said != "ok" else []
        gone = f"{self.path} has lost rows that its {', '.join(sorted(lost))} refer to; copy it from a backup."
        return damage + ([gone] if lost else [])

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Open the database for reading; it is empty if there is no file.

        Raises `InputError` if the file cannot be read, is damaged, or belongs to another program or a newer version.
        """
        with self._explained("Nothing was read", "read"):
            if self.path.exists():
                with closing(self._connect()) as connection:
                    connection.execute("BEGIN")  # one state, whatever others write meanwhile
                    if self._is_begun(connection):
                        yield connection
                        return
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.executescript(_SCHEMA)
                yield connection

    @contextmanager
    def write(self, failure: str) -> Iterator[sqlite3.Connection]:
        """Write in one exclusive transaction, which is on disk when the block ends; an error in it changes nothing.

        `failure` is what did not happen then, as the start of the sentence. Raises `InputError` as in `read`; and if
        the disk fails or another program writes for 20 seconds.
        """
        with self._explained(failure, "written"):
            make_folder(self.folder, private=True)
            if not self.path.exists():
                with suppress(FileExistsError):
                    create_file(self.path)
            with closing(self._connect()) as connection:
                connection.execute("BEGIN")
                is_begun = self._is_begun(connection)
                connection.execute("ROLLBACK")
                if not is_begun:
                    # Only possible before the first table. The file shrinks when pixels of old edits are removed.
                    connection.execute("PRAGMA auto_vacuum = FULL")
                # A rollback journal works on network drives. FULL syncs its truncation, unlike its removal, so a
                # commit survives a power failure.
                connection.execute("PRAGMA journal_mode = TRUNCATE")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("BEGIN IMMEDIATE")
                if not self._is_begun(connection):
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {_USER_VERSION}")
                yield connection
                connection.execute("COMMIT")  # without it, closing rolls back

    def _connect(self) -> sqlite3.Connection:
        if not self.path.is_file():
            raise InputError(f"{self.path} is not a file; move it away to begin a new database.")
        connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        # One text of damaged bytes does not stop the reading of all the others.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        return connection

    def _is_begun(self, connection: sqlite3.Connection) -> bool:
        """Whether it is ours and has tables; an empty file may become ours."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application == _APPLICATION_ID and version > _USER_VERSION:
            raise InputError(
                f"{self.path} is from a newer version of napari-wavegms (its format is {version}, this one knows "
                f"{_USER_VERSION}); update napari-wavegms, or set WAVEGMS_HOME to another folder."
            )
        if (application, version) == (_APPLICATION_ID, _USER_VERSION):
            if _tables(connection) != _our_tables():
                raise InputError(f"{self.path} has other tables than napari-wavegms makes; {_REMEDY}")
            return True
        if (application, version, tables) == (0, 0, 0):
            return False
        raise InputError(
            f"{self.path} is a database of another program; move it away, or set WAVEGMS_HOME to another folder."
        )

    @contextmanager
    def _explained(self, failure: str, action: str) -> Iterator[None]:
        try:
            yield
        except (OverflowError, UnicodeDecodeError) as cause:  # the last number of 64 bits; SQLite quotes damaged bytes
            raise InputError(f"{failure}: {self.path} is damaged ({cause}); {_REMEDY}") from cause
        except (sqlite3.Error, OSError) as cause:
            raise InputError(f"{failure}: {_reason(cause, self.path, action)}") from cause


def _reason(cause: sqlite3.Error | OSError, path: Path, action: str) -> str:
    name = getattr(cause, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return (
            f"another program has been writing to {path} for {_PATIENCE:.0f} seconds; close other napari windows, or "
            "wait, then try again."
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"{path} is damaged ({cause}); {_REMEDY}"
    return (
        f"{path} cannot be {action} ({reason_of(cause)}); free some space, check the folder's permissions or choose "
        "another one, then try again."
    )


def reason_of(cause: Exception) -> str:
    """The message of SQLite or the system, without error numbers and paths."""
    return str(getattr(cause, "strerror", None) or cause)


def from_json(kind: type[T], text: str) -> T:
    """Read a record as a dataclass; unknown keys are ignored, and one that does not fit is an `InputError`."""
    try:
        return read_as(kind, parse_json(text))
    except ValueError as cause:
        raise InputError(f"A record of {kind.__name__} in the database is damaged: {cause}.") from cause


def text_key(text: str) -> bytes:
    """Text as a key column stores it, including file names that are not valid Unicode."""
    return text.encode("utf-8", "surrogatepass")


def key_text(key: object) -> str:
    """The text of `text_key`; of what somebody else has put there, something to show that no file is called."""
    if not isinstance(key, bytes):
        return repr(key)[:_MOST_SHOWN]
    try:
        return key.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return key.decode("utf-8", "replace")


def now() -> str:
    """Current time, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _tables(connection: sqlite3.Connection) -> set[str]:
    """What makes the tables, indices, views and triggers, without comments and spaces."""
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_stat%'")
    return {re.sub(r"--.*|\s+", "", str(sql)) for (sql,) in rows}


@cache
def _our_tables() -> set[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        return _tables(connection)
