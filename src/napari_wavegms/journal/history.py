"""Entries of the journal in the database: the hash chain, its verification, and replaying edits to a mask."""

from __future__ import annotations

import math
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import numpy as np

from napari_wavegms.errors import InputError, harmless
from napari_wavegms.journal.patches import MaskState, bands_of, pack, unpack
from napari_wavegms.journal.records import Beginning, EditTarget
from napari_wavegms.storage.database import from_json
from napari_wavegms.storage.memory import ask_for_memory
from napari_wavegms.storage.plain import parse_json, to_json

_UNREADABLE = (KeyError, TypeError, ValueError, IndexError, OverflowError, MemoryError, RecursionError, zlib.error)


def append(
    connection: sqlite3.Connection,
    image: str,
    session: int,
    kind: str,
    record: dict[str, Any],
    *,
    number: int | None = None,
    pixels: bytes | None = None,
) -> None:
    """Append an entry to the hash chain of an image and update the chain's head, inside a write transaction.

    `record` has plain values, `number` is that of an edit, `pixels` come from `pack`.
    """
    before, previous = _head(connection, image)
    entry = (image, before + 1, session, kind, number, to_json(record), _digest(pixels))
    link = _link(previous, entry)
    connection.execute(
        "INSERT INTO journal (image, position, session, kind, number, record, digest, pixels, link)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*entry, pixels, link),
    )
    connection.execute("INSERT OR REPLACE INTO journal_heads VALUES (?, ?, ?)", (image, before + 1, link))


def complaints(connection: sqlite3.Connection, image: str) -> list[str]:
    """A sentence for each break in the chain of an image; pixels may be missing before a "compact" entry."""
    (compacted,) = connection.execute(
        "SELECT coalesce(max(position), 0) FROM journal WHERE image = ? AND kind = 'compact'", (image,)
    ).fetchone()
    name = name_of(connection, image)
    broken, previous, position = [], "", 0
    for *entry, pixels, link in connection.execute(
        "SELECT image, position, session, kind, number, record, digest, pixels, link FROM journal"
        " WHERE image = ? ORDER BY position",
        (image,),
    ):
        _, position, _, kind, number, _, digest = entry
        is_whole = False
        with suppress(*_UNREADABLE):  # columns of other types
            pixels_fit = _digest(pixels) == digest or (pixels is None and position < compacted)
            is_whole = pixels_fit and link == _link(previous, entry)
        if not is_whole:
            what = f"Edit {number}" if kind == "edit" else f"An entry on {kind!r}"
            broken.append(f"{what} of {name} or the entry before it was changed or lost after it was saved")
        previous = link
    noted = connection.execute("SELECT entries, link FROM journal_heads WHERE image = ?", (image,)).fetchone()
    if (noted or (0, "")) != (position, previous):
        broken.append(f"The last entries of the journal of {name} were changed or lost after they were saved")
    advice = "so a restored mask may lack pixels; compare it with the image before you approve it."
    return [f"{what}, {advice}" for what in broken]


def _head(connection: sqlite3.Connection, image: str) -> tuple[int, str]:
    """How many entries the chain of an image has, and the last link: as noted, or else as the entries have it."""
    for table in ("entries, link FROM journal_heads", "position, link FROM journal"):
        for entries, link in connection.execute(f"SELECT {table} WHERE image = ? ORDER BY 1 DESC LIMIT 1", (image,)):
            if isinstance(entries, int) and isinstance(link, str):
                return entries, link
    return 0, ""


def replay(rows: Iterable[Sequence[Any]], name: str) -> MaskState:
    """Replay entries (kind, record, pixels) of one session, from a "begin" on, to the resulting mask.

    Unreadable later ones are skipped. Raises `InputError` if the initial mask is damaged, or pixels were removed.
    """
    state: MaskState | None = None
    for kind, record, pixels in rows:
        if pixels is None:
            raise InputError(
                f"The pixels of the edits that led to the approved mask of {name} were removed some time after the "
                "approval. The mask itself is kept: open the image in Review."
            )
        try:
            state = _followed(state, kind, parse_json(record), pixels)
        except _UNREADABLE:
            if state is None:
                break
    if state is None:
        raise InputError(
            f"The edits of {name} cannot be restored, because the entry with the initial mask is damaged or missing. "
            "Open the image again and segment it."
        )
    return state


def whole(mask: np.ndarray[Any, Any]) -> bytes:
    """A whole mask, packed."""
    empty = MaskState.empty(mask.shape, mask.dtype)
    return pack(empty.patches_to({band: band.of(mask) for band in bands_of(mask.shape)}))


def _followed(state: MaskState | None, kind: str, record: dict[str, Any], pixels: bytes) -> MaskState:
    if state is None or kind == "begin" or "shape" in record:
        shape, dtype = tuple(int(length) for length in record["shape"]), np.dtype(record["dtype"])
        if dtype.kind not in "bui":
            raise ValueError("a mask of no whole numbers")
        if state is None or kind == "begin":
            ask_for_memory("The mask of a journal", 3 * math.prod(shape) * dtype.itemsize)
            start = MaskState.empty(shape, dtype)
            return MaskState(_applied(start, pixels).mask)
        state = state.reformed(shape, dtype)
    return _applied(state, pixels)


def _applied(state: MaskState, pixels: bytes) -> MaskState:
    patches = unpack(pixels, state.mask.dtype, state.mask.size)
    for patch in patches:
        if patch.of(state.mask).shape != patch.changed.shape:
            raise ValueError("a patch outside the mask")
    state.apply(patches)
    return state


def target_of(connection: sqlite3.Connection, session: int) -> EditTarget | None:
    """The image of a session; None if its record is damaged."""
    row = connection.execute(
        "SELECT record FROM journal WHERE session = ? AND kind = 'begin' ORDER BY position DESC", (session,)
    ).fetchone()
    with suppress(InputError):
        return from_json(Beginning, row[0]).target if row else None
    return None


def name_of(connection: sqlite3.Connection, image: str) -> str:
    """What the user calls an image."""
    row = connection.execute("SELECT max(id) FROM journal_sessions WHERE image = ?", (image,)).fetchone()
    target = target_of(connection, row[0])
    return "this image" if target is None else harmless(target.name)


def _digest(pixels: bytes | None) -> str:
    return "" if pixels is None else blake2b(pixels, digest_size=16).hexdigest()


def _link(previous: str, entry: Sequence[Any]) -> str:
    return blake2b(to_json([previous, *entry]).encode("ascii"), digest_size=16).hexdigest()
