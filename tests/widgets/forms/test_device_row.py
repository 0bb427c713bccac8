"""What is known about a device without importing torch."""

from __future__ import annotations

import pytest

from napari_wavegms.widgets.forms.device_row import device_hint


@pytest.mark.parametrize(
    ("wish", "torch", "platform", "sentence", "impossible"),
    [
        ("auto", "2.13.0+cpu", "linux", "Running on the processor (no NVIDIA support installed)", False),
        ("auto", "2.13.0+cu130", "linux", "Checked at the first run", False),
        ("auto", "2.13.0", "darwin", "Checked at the first run", False),
        ("cpu", "2.13.0", "linux", "Running on the processor (chosen)", False),
        ("cuda", "2.13.0+cpu", "linux", "has no NVIDIA support. Choose auto or cpu", True),
        ("cuda", "2.13.0", "darwin", "has no NVIDIA support", True),
        ("mps", "2.13.0", "win32", "not a Mac. Choose auto", True),
        ("auto", None, "linux", "pip install torch", True),
    ],
)
def test_a_device_before_torch_is_there(
    wish: str, torch: str | None, platform: str, sentence: str, impossible: bool
) -> None:
    hint = device_hint(wish, torch, platform)
    assert sentence in hint.sentence
    assert hint.impossible is impossible
