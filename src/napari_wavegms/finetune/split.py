"""The sticky split: what is held out stays held out, so that scores stay honest while the set grows.

Sides are drawn by a hash of the group, not by chance: the same group falls on the same side in every set, on every
machine, even after the file that remembers it was lost. The file adds what a hash cannot know: that an image which has
been learned from under one name must not be held out under another.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from napari_wavegms.errors import InputError
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.database import Database, key_text, text_key
from napari_wavegms.wording import counted

Side = Literal["train", "held_out"]
TRAIN: Side = "train"
HELD_OUT: Side = "held_out"

SHARE = 0.2
SALT = "napari-wavegms"
FEW = 5
"""Below this many images a mean says little: each image makes up a quarter of it or more."""
TOO_FEW = "too few to judge"


@dataclass(frozen=True, slots=True)
class Member:
    """An image as the split sees it: what it belongs to, and its content hash."""

    group: str
    content: str


@dataclass(frozen=True, slots=True, eq=False)
class SplitView:
    """Pairs to learn from and pairs to score on, in the order in which they came."""

    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    set_aside: tuple[Pair, ...] = ()  # in neither: they have been on the other side before, under another group

    @property
    def sentence(self) -> str:
        """What the split came to, for the user."""
        held = counted(len(self.held_out), "test image") if self.held_out else "no test image yet"
        aside = f"; {len(self.set_aside)} ignored, having been on the other side before" if self.set_aside else ""
        return f"{counted(len(self.train), 'training image')}, {held}{aside}."


class StickySplit:
    """Which groups are held out, remembered for ever in the user's database.

    Parameters
    ----------
    folder : path-like, optional
        Where the database is, see `Database`.
    share : float
        Share of the groups to hold out, between 0 and 1. The one that is remembered wins.
    salt : str
        Another salt is another draw. The one that is remembered wins.

    Raises
    ------
    InputError
        If the share is no such number.

    Examples
    --------
    >>> import tempfile
    >>> split = StickySplit(tempfile.mkdtemp())
    >>> split.sides([Member("patient 1", "a"), Member("patient 1", "b")])
    ['train', 'train']
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, share: float = SHARE, salt: str = SALT) -> None:
        if not 0 < share < 1:
            raise InputError(f"The share to hold out is {share}; it lies between 0 and 1. If in doubt, take {SHARE}.")
        self.database = Database(folder)
        self._wished = share, salt

    @property
    def share(self) -> float:
        """Share of the groups that is held out."""
        return self._remembered().share

    def divide(self, pairs: Sequence[Pair]) -> SplitView:
        """Put pairs on their sides; new groups are drawn and remembered. One without a group is one of its own.

        Raises
        ------
        InputError
            If a new group cannot be remembered.
        """
        contents = [content_hash(pair.image) for pair in pairs]
        sides = self.sides([Member(pair.group, content) for pair, content in zip(pairs, contents, strict=True)])
        chosen = {side: tuple(p for p, own in zip(pairs, sides, strict=True) if own == side) for side in set(sides)}
        return SplitView(chosen.get(TRAIN, ()), chosen.get(HELD_OUT, ()), chosen.get(None, ()))

    def sides(self, members: Sequence[Member]) -> list[Side | None]:
        """The side of each image; None for one that must stay on neither, see `SplitView`.

        Raises
        ------
        InputError
            If a new group cannot be remembered.
        """
        named = [Member(member.group or member.content, member.content) for member in members]
        if not self._remembered().news(named):
            book = self._remembered()
        else:
            with self.database.write("The split into training and held-out images was not kept") as connection:
                book = _Book(connection, *self._wished)
                for group, side, contents in book.news(named):
                    connection.execute(
                        "INSERT OR IGNORE INTO split_rule (id, share, salt) VALUES (1, ?, ?)", (book.share, book.salt)
                    )
                    connection.execute("INSERT OR IGNORE INTO split_groups VALUES (?, ?)", (text_key(group), side))
                    rows = [(text_key(content), side) for content in contents]
                    connection.executemany("INSERT OR IGNORE INTO split_contents VALUES (?, ?)", rows)
        return [book.side(member) for member in named]

    def _remembered(self) -> _Book:
        with self.database.read() as connection:
            return _Book(connection, *self._wished)


class _Book:
    """The rule, and the sides of groups and images so far."""

    def __init__(self, connection: sqlite3.Connection, share: float, salt: str) -> None:
        rule = connection.execute("SELECT share, salt FROM split_rule").fetchone()
        self.share: float = rule[0] if rule else share
        self.salt: str = rule[1] if rule else salt
        self.groups: dict[str, Side] = _sides(connection.execute("SELECT name, side FROM split_groups"))
        self.contents: dict[str, Side] = _sides(connection.execute("SELECT content, side FROM split_contents"))

    def side(self, member: Member) -> Side | None:
        side = self.groups[member.group]
        return side if self.contents[member.content] == side else None

    def news(self, members: Sequence[Member]) -> list[tuple[str, Side, list[str]]]:
        """What is not known yet, in the order of the groups' names: that of the images does not matter."""
        together: dict[str, dict[str, None]] = {}
        for member in members:
            together.setdefault(member.group, {})[member.content] = None
        found = []
        for group, contents in sorted(together.items()):
            fresh = sorted(content for content in contents if content not in self.contents)
            if group in self.groups and not fresh:
                continue
            side = self.groups.setdefault(group, self._side_of_new(group, contents))
            self.contents |= dict.fromkeys(fresh, side)
            found.append((group, side, fresh))
        return found

    def _side_of_new(self, group: str, contents: Iterable[str]) -> Side:
        """Images that are known under another name keep their new group on their side; what was learned from wins."""
        known = {self.contents[content] for content in contents if content in self.contents}
        if known:
            return TRAIN if TRAIN in known else HELD_OUT
        return draw(group, self.share, self.salt)


def _sides(rows: Iterable[tuple[bytes, Side]]) -> dict[str, Side]:
    return {key_text(name): side for name, side in rows}


def draw(group: str, share: float = SHARE, salt: str = SALT) -> Side:
    """The side on which a group falls, the same for ever and everywhere.

    Examples
    --------
    >>> {draw("patient 7") for _ in range(100)}
    {'train'}
    """
    digest = blake2b(f"{salt}\n{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return HELD_OUT if int.from_bytes(digest, "big") < share * 2**64 else TRAIN


def leave_one_out(pairs: Sequence[Pair]) -> Iterator[SplitView]:
    """Hold out each group in turn: what can be measured before anything is held out for good.

    Yields
    ------
    SplitView
        One a group; none where there are fewer than two groups.
    """
    groups = [pair.group or content_hash(pair.image) for pair in pairs]
    names = dict.fromkeys(groups)
    for name in names if len(names) > 1 else ():
        inside = tuple(pair for pair, group in zip(pairs, groups, strict=True) if group == name)
        outside = tuple(pair for pair, group in zip(pairs, groups, strict=True) if group != name)
        yield SplitView(train=outside, held_out=inside)


def worth(images: int) -> str:
    """What a score is worth, to be said behind it.

    Examples
    --------
    >>> worth(3), worth(12)
    ('on 3 test images, too few to judge', 'on 12 test images')
    >>> worth(0)
    'because there is no test image yet'
    """
    if images < 1:
        return "because there is no test image yet"
    return f"on {counted(images, 'test image')}{f', {TOO_FEW}' if images < FEW else ''}"
