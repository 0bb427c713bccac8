"""The sticky split: what is held out stays held out, so that scores stay honest while the set grows.

Sides are drawn by a hash of the group, not by chance: the same group falls on the same side in every set, on every
machine, even after the file that remembers it was lost. The file adds what a hash cannot know: that an image which has
been learned from under one name must not be held out under another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from napari_wavegms.errors import InputError
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.storage.append_log import KIND, Ledger, Record
from napari_wavegms.storage.atomic import explain_os_error
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.user_data import corrections_folder
from napari_wavegms.wording import counted

Side = Literal["train", "held_out"]
TRAIN: Side = "train"
HELD_OUT: Side = "held_out"

SHARE = 0.2
SALT = "napari-wavegms"
FEW = 5
"""Below this many images a mean says little: each image makes up a quarter of it or more."""
TOO_FEW = "too few to judge"

_RULE = "rule"
_GROUP = "group"
_FILE = "split.jsonl"


@dataclass(frozen=True, slots=True)
class Member:
    """An image as the split sees it: what it belongs to, and its content hash."""

    group: str
    content: str


@dataclass(frozen=True, slots=True, eq=False)
class SplitView:
    """Pairs to learn from and pairs to score on.

    Attributes
    ----------
    train, held_out : tuple of Pair
        In the order in which they came.
    set_aside : tuple of Pair
        In neither: images that have been on the other side before, under another group.
    """

    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    set_aside: tuple[Pair, ...] = ()

    @property
    def sentence(self) -> str:
        """What the split came to, for the user."""
        held = counted(len(self.held_out), "test image") if self.held_out else "no test image yet"
        aside = f"; {len(self.set_aside)} ignored, having been on the other side before" if self.set_aside else ""
        return f"{counted(len(self.train), 'training image')}, {held}{aside}."


class StickySplit:
    """Which groups are held out, remembered for ever in ``split.jsonl``.

    Parameters
    ----------
    folder : path-like, optional
        `corrections_folder()` by default. Made by the first `divide`.
    share : float
        Share of the groups to hold out, between 0 and 1. The one in the file wins.
    salt : str
        Another salt is another draw. The one in the file wins.

    Raises
    ------
    InputError
        If the share is no such number, or the file cannot be read.

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
        self.folder = corrections_folder() if folder is None else Path(folder)
        self._ledger = Ledger(self.folder / _FILE)
        self._wished = {"share": share, "salt": salt}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what is damaged in the file, empty when all is well."""
        return self._ledger.warnings

    @property
    def share(self) -> float:
        """Share of the groups that is held out."""
        return self._book().share

    def divide(self, pairs: Sequence[Pair]) -> SplitView:
        """Put pairs on their sides; new groups are drawn and remembered.

        Parameters
        ----------
        pairs : sequence of Pair
            One without a group is a group of its own, by content.

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
        if self._book().news(named):
            with (
                explain_os_error("The split into training and held-out images was not kept", self.folder),
                self._ledger.writing(),
            ):
                book = self._book()
                lines = book.news(named)
                self._ledger.append(lines if book.has_rule else [{KIND: _RULE, **self._wished}, *lines])
        book = self._book()
        return [book.side(member) for member in named]

    def _book(self) -> _Book:
        return _Book(self._ledger.read(), self._wished)


class _Book:
    """What the lines of the file come to."""

    def __init__(self, records: Iterable[Record], wished: dict[str, Any]) -> None:
        self.share, self.salt, self.has_rule = float(wished["share"]), str(wished["salt"]), False
        self.groups: dict[str, Side] = {}
        self.contents: dict[str, Side] = {}
        for record in records:
            if record[KIND] == _RULE and not self.has_rule:
                self.share, self.salt = float(record.get("share", self.share)), str(record.get("salt", self.salt))
                self.has_rule = True
            elif record[KIND] == _GROUP and record.get("side") in (TRAIN, HELD_OUT):
                self._learn(str(record.get("group")), record["side"], map(str, record.get("contents", ())))

    def _learn(self, group: str, side: Side, contents: Iterable[str]) -> None:
        self.groups.setdefault(group, side)
        for content in contents:
            self.contents.setdefault(content, side)

    def side(self, member: Member) -> Side | None:
        side = self.groups[member.group]
        return side if self.contents[member.content] == side else None

    def news(self, members: Sequence[Member]) -> list[Record]:
        """Lines for what is not known yet, in the order of the groups' names: that of the images does not matter."""
        together: dict[str, dict[str, None]] = {}
        for member in members:
            together.setdefault(member.group, {})[member.content] = None
        lines = []
        for group, contents in sorted(together.items()):
            fresh = sorted(content for content in contents if content not in self.contents)
            if group in self.groups and not fresh:
                continue
            side = self.groups.get(group) or self._side_of_new(group, contents)
            self._learn(group, side, fresh)
            lines.append({KIND: _GROUP, "group": group, "side": side, "contents": fresh})
        return lines

    def _side_of_new(self, group: str, contents: Iterable[str]) -> Side:
        """Images that are known under another name keep their new group on their side; what was learned from wins."""
        known = {self.contents[content] for content in contents if content in self.contents}
        if known:
            return TRAIN if TRAIN in known else HELD_OUT
        return draw(group, self.share, self.salt)


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
