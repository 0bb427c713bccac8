"""The whole napari is closed right after a stroke: the stroke is kept, and nothing is asked at the next start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_wavegms.journal.journal import Journal
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.worklist.worklist import Worklist

SCRIPT = Path(__file__).with_name("review_close.py")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("how", ["tab", "viewer", "quit"])
def test_a_window_that_is_closed_after_a_stroke_keeps_it(
    scans: Callable[..., Path], model_file: Path, forked_window: Callable[..., Iterator[str]], how: str
) -> None:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        from review_close import painted
    finally:
        sys.path.remove(str(SCRIPT.parent))
    folder = scans(3)
    _, *said, ended = forked_window(SCRIPT, folder, how)
    assert (said, ended) == ([], "ended 0")
    pixels = np.asarray(Image.open(folder / "scan_1.png"))
    journal = Journal()
    assert np.array_equal(journal.restore(content_hash(pixels)), painted((pixels >= 127.5).astype(np.uint8)))
    assert journal.unfinished() == []
    item = Worklist.of_folder(folder).items()[0]
    assert (item.name, item.shown) == ("scan_1", 1)
