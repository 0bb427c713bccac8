"""The sticky split: what is held out stays held out, so that scores stay honest while the set grows.

New groups are held out until a fifth of the images is, at least one of two and two of five, in the order of a hash of
their names rather than by chance: the same set falls apart the same way on every machine. What has its side keeps it,
and an image that has been learned from under one name is not held out under another.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, NamedTuple

from napari_wavegms.learn.pairs import Pair
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.database import Database, key_text, text_key
from napari_wavegms.wording import counted

Side = Literal["train", "held_out"]
TRAIN: Side = "train"
HELD_OUT: Side = "held_out"

SHARE = 0.2
SALT = "napari-wavegms"  # another salt would be another draw
FEW = 5
"""From so many images on two are held out; fewer test images neither choose an epoch nor end a training."""


class Member(NamedTuple):
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
        held = counted(len(self.held_out), "test image") if self.held_out else "no test image"
        aside = f"; {len(self.set_aside)} ignored, having been on the other side before" if self.set_aside else ""
        return f"{counted(len(self.train), 'training image')}, {held}{aside}."


class StickySplit:
    """Which groups are held out, remembered for ever in a database, by default the user's.

    Raises `InputError` where a new group cannot be remembered.

    Examples
    --------
    >>> import tempfile
    >>> split = StickySplit(tempfile.mkdtemp())
    >>> split.sides([Member("patient 1", "a"), Member("patient 1", "b"), Member("patient 2", "c")])
    ['train', 'train', 'held_out']
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.database = Database(folder)

    def divide(self, pairs: Sequence[Pair]) -> SplitView:
        """Put pairs on their sides; new groups are drawn and remembered. One without a group is one of its own."""
        contents = [content_hash(pair.image) for pair in pairs]
        sides = self.sides([Member(pair.group, content) for pair, content in zip(pairs, contents, strict=True)])
        chosen = {side: tuple(p for p, own in zip(pairs, sides, strict=True) if own == side) for side in set(sides)}
        return SplitView(chosen.get(TRAIN, ()), chosen.get(HELD_OUT, ()), chosen.get(None, ()))

    def sides(self, members: Sequence[Member]) -> list[Side | None]:
        """The side of each image; None for one that must stay on neither, see `SplitView`."""
        named = [Member(member.group or member.content, member.content) for member in members]
        with self.database.read() as connection:
            book = _Book(connection)
        if book.news(named):
            with self.database.write("The split into training and test images was not kept") as connection:
                book = _Book(connection)  # another program may have drawn meanwhile
                for group, side, contents in book.news(named):
                    connection.execute("INSERT OR IGNORE INTO split_groups VALUES (?, ?)", (text_key(group), side))
                    rows = [(text_key(content), side) for content in contents]
                    connection.executemany("INSERT OR IGNORE INTO split_contents VALUES (?, ?)", rows)
        return [book.side(member) for member in named]


class _Book:
    """The sides of groups and images so far."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.groups: dict[str, Side] = _sides(connection.execute("SELECT name, side FROM split_groups"))
        self.contents: dict[str, Side] = _sides(connection.execute("SELECT content, side FROM split_contents"))

    def side(self, member: Member) -> Side | None:
        side = self.groups[member.group]
        return side if self.contents[member.content] == side else None

    def news(self, members: Sequence[Member]) -> list[tuple[str, Side, list[str]]]:
        """What is not known yet, in the order of the groups' names: that of the images does not matter."""
        together: dict[str, set[str]] = {}
        for member in members:
            together.setdefault(member.group, set()).add(member.content)
        chosen = self._to_hold_out(together)
        found = []
        for group, contents in sorted(together.items()):
            fresh = sorted(contents - self.contents.keys())
            if group in self.groups and not fresh:
                continue
            # Images that are known under another name keep their new group on their side; what was learned from wins.
            known = {self.contents[content] for content in contents & self.contents.keys()}
            held = HELD_OUT in known and TRAIN not in known if known else group in chosen
            side = self.groups.setdefault(group, HELD_OUT if held else TRAIN)
            self.contents |= dict.fromkeys(fresh, side)
            found.append((group, side, fresh))
        return found

    def _to_hold_out(self, together: Mapping[str, set[str]]) -> set[str]:
        """The groups of which nothing is known that are to be held out."""
        sizes = {group: len(contents) for group, contents in together.items()}
        unknown = [
            group
            for group, contents in together.items()
            if group not in self.groups and contents.isdisjoint(self.contents)
        ]
        unknown.sort(key=rank)
        images = sum(sizes.values())
        held = sum(size for group, size in sizes.items() if self.groups.get(group) == HELD_OUT)
        wanted = to_hold_out(images)
        chosen = set()
        for group in unknown:
            if held + sizes[group] <= wanted:
                chosen.add(group)
                held += sizes[group]
        if wanted and unknown and not held:  # a few test images too many are better than none
            smallest = min(unknown, key=sizes.__getitem__)
            chosen |= {smallest} if sizes[smallest] < images else set()
        return chosen


def _sides(rows: Iterable[tuple[bytes, Side]]) -> dict[str, Side]:
    return {key_text(name): side for name, side in rows}


def to_hold_out(images: int) -> int:
    """How many of so many images are held out.

    Examples
    --------
    >>> [to_hold_out(images) for images in (1, 2, 4, 5, 10, 20)]
    [0, 1, 1, 2, 2, 4]
    """
    least = (images >= 2) + (images >= FEW)
    return max(least, round(SHARE * images))


def rank(group: str) -> float:
    """Where a group stands in the order of holding out, 0 to 1; the same for ever and everywhere."""
    digest = blake2b(f"{SALT}\n{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def leave_one_out(pairs: Sequence[Pair]) -> Iterator[SplitView]:
    """Hold out each group in turn, where there are two or more: what can be measured of few images."""
    groups = [pair.group or content_hash(pair.image) for pair in pairs]
    names = dict.fromkeys(groups)
    for name in names if len(names) > 1 else ():
        inside = tuple(pair for pair, group in zip(pairs, groups, strict=True) if group == name)
        outside = tuple(pair for pair, group in zip(pairs, groups, strict=True) if group != name)
        yield SplitView(train=outside, held_out=inside)
