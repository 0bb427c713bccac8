"""One key of ours on a viewer and on its Labels layers, given back when the panel closes.

napari ignores the key bindings of a plugin's manifest, and asks a layer's keymap before the viewer's; so a key is bound
on both, by hand. A key that somebody has bound already stays theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import ReferenceType, ref

if TYPE_CHECKING:
    from napari.components import ViewerModel  # type: ignore[import-untyped]
    from napari.layers import Labels  # type: ignore[import-untyped]

# Alt+S, the obvious letter, is napari's own "Save Screenshot"; the g of seGment is free on every platform.
SEGMENT_KEY = "Alt-G"


class Key:
    """A key that calls an action while it is bound.

    Parameters
    ----------
    key : str
        In napari's spelling, such as ``"Alt-G"``.
    action : callable
        Called without arguments on each press.
    """

    def __init__(self, key: str, action: Callable[[], None]) -> None:
        self.key = key
        self._action = action
        self._holders: list[ReferenceType[ViewerModel | Labels]] = []

    @property
    def printed(self) -> str:
        """The key as a button shows it."""
        return self.key.replace("-", "+")

    def bind(self, holder: ViewerModel | Labels) -> bool:
        """Bind the key on a viewer or a layer.

        Returns
        -------
        bool
            Whether the key is ours there now; False where it already belonged to somebody else.
        """
        holder = getattr(holder, "__wrapped__", holder)  # a plugin may be handed a passing proxy
        if any(known() is holder for known in self._holders):
            return True
        try:
            # napari hands over the viewer or layer on which the key was found; we need neither.
            holder.bind_key(self.key, lambda _holder: self._action())
        except ValueError:  # napari's word for "already used"
            return False
        self._holders.append(ref(holder))
        return True

    def unbind(self) -> None:
        """Give the key back wherever it was bound."""
        for known in self._holders:
            holder = known()
            if holder is not None:
                holder.bind_key(self.key, None)
        self._holders.clear()
