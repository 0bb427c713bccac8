"""One file, whole transactions, and a sentence for whatever stands in the way."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.storage.database import Database, from_json
from napari_wavegms.storage.plain import to_json


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "home")


def add(database: Database, *numbers: int) -> None:
    with database.write("The numbers were not kept") as connection:
        connection.executemany("INSERT INTO versions VALUES (?, '{}')", [(number,) for number in numbers])


def choose(database: Database, number: int) -> None:
    with database.write("The choice was not kept") as connection:
        connection.execute("INSERT INTO version_choices (action, version, time) VALUES ('use', ?, '')", (number,))


def numbers(database: Database) -> list[int]:
    with database.read() as connection:
        return [number for (number,) in connection.execute("SELECT number FROM versions ORDER BY number")]


def test_looking_makes_nothing(database: Database, tmp_data_home: Path) -> None:
    assert numbers(database) == []
    assert not database.folder.exists()
    assert Database().folder == tmp_data_home
    assert Database().warnings == ()


def test_what_one_instance_writes_another_reads(database: Database) -> None:
    add(database, 1, 2)
    add(Database(database.folder), 3)
    assert numbers(database) == numbers(Database(database.folder)) == [1, 2, 3]


def test_the_file_says_what_it_is_and_rows_refer_to_rows_that_are_there(database: Database) -> None:
    add(database, 1)
    with sqlite3.connect(database.path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"WGMS", "big"),)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() != ("wal",), "network drives have no shared memory"
    connection.close()
    with pytest.raises(InputError, match="FOREIGN KEY"):
        choose(database, 7)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_block_that_fails_changes_nothing(database: Database, error: type[BaseException]) -> None:
    def begin_and_fail() -> None:
        with database.write("The numbers were not kept") as connection:
            connection.execute("INSERT INTO versions VALUES (2, '{}')")
            raise error

    add(database, 1)
    with pytest.raises((error, InputError)):
        begin_and_fail()
    assert numbers(database) == [1]


def test_a_file_that_was_removed_begins_again(database: Database) -> None:
    add(database, 1)
    database.path.unlink()
    assert numbers(database) == []
    add(database, 2)
    assert numbers(database) == [2]


def test_a_first_write_that_was_killed_leaves_an_empty_file_that_begins(database: Database) -> None:
    database.folder.mkdir()
    database.path.write_bytes(b"")
    assert numbers(database) == []
    add(database, 1)
    assert numbers(database) == [1]


def test_a_newer_version_is_left_alone(database: Database) -> None:
    add(database, 1)
    with sqlite3.connect(database.path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = database.path.read_bytes()
    for look in (numbers, lambda it: add(it, 2)):
        with pytest.raises(InputError, match="from a newer version of napari-wavegms"):
            look(database)
    assert database.path.read_bytes() == before


@pytest.mark.parametrize("application", [0, 123])
def test_a_database_of_another_program_is_left_alone(database: Database, application: int) -> None:
    database.folder.mkdir()
    with sqlite3.connect(database.path) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE theirs (x)")
        connection.execute(f"PRAGMA application_id = {application}")
    connection.close()
    before = database.path.read_bytes()
    for look in (numbers, lambda it: add(it, 2)):
        with pytest.raises(InputError, match="is a database of another program; move it away"):
            look(database)
    assert database.path.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_no_database(database: Database) -> None:
    database.folder.mkdir()
    os.mkfifo(database.path)
    for look in (numbers, lambda it: add(it, 2)):
        with pytest.raises(InputError, match="is not a file; move it away to begin a new database"):
            look(database)


@pytest.mark.parametrize("damage", ["text", "head", "middle", "cut"])
def test_a_damaged_file_is_told_in_a_sentence_and_left_alone(database: Database, damage: str) -> None:
    add(database, *range(2000))
    data = bytearray(database.path.read_bytes())
    if damage == "text":
        data[:] = b"no database at all" * 200
    elif damage == "head":
        data[:16] = b"\0" * 16
    elif damage == "middle":
        data[4096:] = b"\xff" * (len(data) - 4096)
    else:
        del data[len(data) // 2 :]
    database.path.write_bytes(data)
    for look in (numbers, lambda it: add(it, 5000)):
        with pytest.raises(InputError, match=r"is damaged \(.*\); copy it from a backup, or move it away"):
            look(database)
    assert database.path.read_bytes() == bytes(data)


def test_any_flipped_bit_is_a_sentence_or_does_no_harm(database: Database) -> None:
    add(database, *range(50))
    data, rng = database.path.read_bytes(), random.Random(5)
    for _ in range(150):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        database.path.write_bytes(flipped)
        with suppress(InputError):  # and nothing else
            assert len(numbers(database)) <= 50
            add(database, 1000)


def test_a_folder_of_the_old_form_is_told_and_left_alone(database: Database) -> None:
    for name in ("corrections/corrections.jsonl", "journal/0a.jsonl"):
        (database.folder / name).parent.mkdir(parents=True)
        (database.folder / name).write_text("{}\n")
    [sentence] = database.warnings
    assert "data of an earlier version of napari-wavegms (corrections, journal), which is left as it is" in sentence
    add(database, 1)
    assert (database.folder / "journal" / "0a.jsonl").read_text() == "{}\n"


def test_a_path_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"The numbers were not kept: .* cannot be written"):
        add(Database(tmp_path / "file" / "home"), 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
@pytest.mark.parametrize("room", [0, 600, 5000])
def test_a_full_disk_is_told_and_changes_nothing(database: Database, room: int) -> None:
    import resource

    add(database, *range(100))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (database.path.stat().st_size + room, limits[1]))
    try:
        with pytest.raises(InputError, match=r"The numbers were not kept: .* cannot be written"):
            add(database, *range(1000, 9000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert numbers(database) == list(range(100))
    add(database, 1000)
    assert numbers(database)[-1] == 1000


READ_ONLY = """
import os, sys
from pathlib import Path
from napari_wavegms.errors import InputError
from napari_wavegms.storage.database import Database
if os.getuid() == 0:
    os.setuid(65534)
database = Database(sys.argv[1])
with database.read() as connection:
    print(connection.execute("SELECT count(*) FROM versions").fetchone()[0])
try:
    with database.write("The numbers were not kept") as connection:
        connection.execute("INSERT INTO versions VALUES (9, '{}')")
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="rights as on Linux and macOS")
def test_a_folder_that_may_only_be_read_is_read_and_told(database: Database) -> None:
    add(database, 1, 2)
    for path in (database.folder, database.path):
        path.chmod(0o555)
    for path in (database.folder, *database.folder.parents):
        if path.stat().st_uid == database.folder.stat().st_uid and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    run = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(database.folder)], capture_output=True, text=True, check=False
    )
    database.folder.chmod(0o755)
    assert run.stdout.splitlines()[0] == "2", run.stderr
    assert "The numbers were not kept: " in run.stdout
    assert "cannot be written" in run.stdout
    assert numbers(database) == [1, 2]


def test_threads_and_processes_write_at_once_and_lose_nothing(database: Database) -> None:
    code = (
        "import sys; from napari_wavegms.storage.database import Database\n"
        "for number in range(100, 120):\n"
        "    with Database(sys.argv[1]).write('x') as connection:\n"
        "        connection.execute('INSERT INTO versions VALUES (?, ?)', (number, '{}'))\n"
    )
    with (
        subprocess.Popen([sys.executable, "-c", code, str(database.folder)]) as other,
        ThreadPoolExecutor(3) as pool,
    ):
        list(pool.map(lambda number: add(database, number), range(30)))
        assert other.wait() == 0
    assert numbers(database) == [*range(30), *range(100, 120)]


def test_who_looks_while_another_makes_the_file_finds_it_empty_or_begun(tmp_path: Path) -> None:
    def look(database: Database) -> None:
        while not numbers(database):
            pass

    with ThreadPoolExecutor(4) as pool:
        for turn in range(30):
            database = Database(tmp_path / str(turn))
            looking = [pool.submit(look, database) for _ in range(2)]
            writing = [pool.submit(add, database, number) for number in (1, 2)]
            for task in (*looking, *writing):
                task.result()
            assert numbers(database) == [1, 2]


def test_who_reads_sees_one_state_and_whoever_writes_waits(database: Database) -> None:
    add(database, 1)
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with database.read() as connection:
            assert connection.execute("SELECT count(*) FROM versions").fetchone() == (1,)
            writing = pool.submit(lambda: (add(database, 2), done.set()))
            assert not done.wait(0.05)
            assert connection.execute("SELECT count(*) FROM versions").fetchone() == (1,)
        writing.result()
    assert numbers(database) == [1, 2]


KILLED = """
import sys
from napari_wavegms.storage.database import Database
database = Database(sys.argv[1])
for number in range(int(sys.argv[2]), 10**6):
    with database.write("x") as connection:
        for half in (2 * number, 2 * number + 1):
            connection.execute("INSERT INTO versions VALUES (?, ?)", (half, "x" * 5000))
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_every_confirmed_transaction_is_there_and_whole(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(database.folder), "0"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for _ in range(rng.randint(1, 30)):
            running.stdout.readline()
        threading.Event().wait(rng.random() / 50)
        running.kill()
        confirmed = [int(line) for line in running.stdout if line.endswith("\n")]
    kept = numbers(database)
    assert kept == list(range(len(kept)))
    assert len(kept) % 2 == 0
    assert not confirmed or len(kept) >= 2 * confirmed[-1] + 2


@dataclass(frozen=True, slots=True)
class Example:
    name: str
    spacing: Spacing | None = None
    plane: tuple[int, ...] = ()
    scores: float | None = None


def test_a_record_comes_back_as_it_was() -> None:
    record = Example("bénign\udcff", Spacing((0.5, 0.25), "mm"), (3, 1), 0.25)
    assert from_json(Example, to_json(record)) == record
    assert to_json(record).isascii()
    assert from_json(Example, '{"name": "x", "of a newer version": 1}') == Example("x")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is nested too deeply"),
        ("[]", "its example is []: "),
        ("{}", "its name is {}: Field required"),
        ('{"name": 3}', "its name is 3: Input should be a valid string"),
        ('{"name": "x", "plane": [1e400]}', "it contains '1e400'"),
        ('{"name": "x", "spacing": {"size": [0, 1], "unit": "mm"}}', "its spacing is {"),
        ('{"name": "x", "plane": [' + "9" * 5000 + "]}", "it contains '999"),
    ],
)
def test_a_damaged_record_is_told_in_one_sentence(text: str, what: str) -> None:
    with pytest.raises(InputError, match="A record of Example in the database is damaged: ") as told:
        from_json(Example, text)
    assert what in str(told.value)
    assert "\n" not in str(told.value)


def test_numbers_of_numpy_are_refused_rather_than_written_wrongly() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"score": float("nan")})
    with pytest.raises(TypeError):
        to_json({"score": np.float32(1)})


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TRIGGER theirs AFTER INSERT ON versions BEGIN DELETE FROM versions; END",
        "CREATE VIEW theirs AS SELECT 1",
        "DROP TABLE worklist",
        "ALTER TABLE versions ADD COLUMN theirs",
    ],
)
def test_other_tables_than_ours_are_told(database: Database, change: str) -> None:
    add(database, 1)
    with sqlite3.connect(database.path) as connection:
        connection.execute(change)
    connection.close()
    for look in (numbers, lambda it: add(it, 2)):
        with pytest.raises(InputError, match="has other tables than napari-wavegms makes; copy it from a backup"):
            look(database)


def test_a_text_of_damaged_bytes_and_a_list_of_statistics_stop_nothing(database: Database) -> None:
    add(database, 1, 2)
    with sqlite3.connect(database.path) as connection:
        connection.execute("UPDATE versions SET record = CAST(x'ff00' AS TEXT) WHERE number = 1")
        connection.execute("ANALYZE")
    connection.close()
    with database.read() as connection:
        assert [text for (text,) in connection.execute("SELECT record FROM versions")] == ["\ufffd\0", "{}"]


def test_rows_that_are_lost_are_told(database: Database) -> None:
    add(database, 1)
    choose(database, 1)
    assert database.verify() == []
    with sqlite3.connect(database.path) as connection:
        connection.execute("DELETE FROM versions")
    connection.close()
    [sentence] = database.verify()
    assert "has lost rows that its version_choices refer to" in sentence


def test_the_last_number_is_told(database: Database) -> None:
    with pytest.raises(InputError, match="is damaged"):
        add(database, 2**63)


def test_damaged_bytes_in_the_tables_themselves_are_told(database: Database) -> None:
    add(database, 1)
    database.path.write_bytes(database.path.read_bytes().replace(b"CREATE TABLE worklist", b"CREATE TABLE w\xb7rklist"))
    with pytest.raises(InputError, match=r"is damaged|has other tables"):
        numbers(database)
    database.path.write_bytes(database.path.read_bytes().replace(b"CREATE TABLE w\xb7", b"CR\xb7ATE TABLE w\xb7"))
    with pytest.raises(InputError, match=r"is damaged|has other tables"):
        numbers(database)
