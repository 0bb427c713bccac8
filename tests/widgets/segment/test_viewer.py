"""Wave-GMS Segment in viewers of its own: with the real network, closed during a run, behind a proxy."""

from __future__ import annotations

from pathlib import Path
from threading import Semaphore
from typing import Any

import numpy as np


def test_the_panel_shows_what_the_segmenter_finds(make_napari_viewer: Any, qtbot: Any) -> None:
    from napari_wavegms.learn.metrics import dice
    from napari_wavegms.model.registry import resolve
    from napari_wavegms.samples import ultrasound_phantom
    from napari_wavegms.segment.segmenter import Segmenter
    from napari_wavegms.widgets.layers.mask_history import memory_of
    from napari_wavegms.widgets.segment.widget import SegmentWidget

    model, phantom = resolve("default"), ultrasound_phantom(0)
    expected = Segmenter.from_checkpoint(model, device="cpu").segment(phantom.image)
    viewer = make_napari_viewer()
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Wave-GMS Segment")
    widget.panel.model_row.open_file(model)
    viewer.add_image(phantom.image, name="lesion")
    widget.segment()
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    mask = viewer.layers["lesion mask"]
    shown = memory_of(mask).planes[None, None].ours(mask.data)
    # In another thread, with fewer of them to share the work, sums in bfloat16 may be rounded differently.
    assert np.abs(shown.probability - expected.probability).mean() < 2e-3
    assert dice(mask.data, expected.mask) > 0.99
    assert dice(mask.data, phantom.mask) > 0.9
    qtbot.waitUntil(lambda: "training images" in widget.panel.light.text(), timeout=60_000)
    assert "not known" not in widget.panel.light.text()
    np.testing.assert_array_equal(mask.data, shown.mask())
    threshold = float(np.median(expected.probability).clip(0.02, 0.98))
    widget.panel.threshold_row.moved.emit(threshold)
    np.testing.assert_array_equal(mask.data, shown.probability >= np.float32(threshold))


def test_a_file_cut_short_is_a_sentence_in_the_panel(
    make_napari_viewer: Any, qtbot: Any, model: Path, disc: np.ndarray, tmp_path: Path
) -> None:
    from napari_wavegms.widgets.segment.widget import SegmentWidget

    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(model.read_bytes())
    viewer = make_napari_viewer()
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Wave-GMS Segment")
    widget.panel.model_row.open_file(cut)
    viewer.add_image(disc, name="lesion")
    cut.write_bytes(model.read_bytes()[:-1000])
    widget.segment()
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    assert "truncated" in widget.panel.status
    assert not widget.panel.run_row.is_enabled
    assert len(viewer.layers) == 1


def test_a_viewer_closed_during_a_run_leaves_no_thread(
    make_napari_viewer: Any, open_desk: Any, disc: np.ndarray, slow: Semaphore
) -> None:
    desk = open_desk(make_napari_viewer())
    desk.viewer.add_image(disc, name="lesion")
    desk.widget.segment()
    desk.viewer.close()
    desk.let_threads_end()


def test_a_proxied_viewer_will_do(make_napari_viewer_proxy: Any, open_desk: Any, disc: np.ndarray) -> None:
    desk = open_desk(make_napari_viewer_proxy())
    desk.viewer.add_image(disc, name="lesion")
    for _ in range(2):
        desk.run()
    assert len(desk.viewer.layers) == 2
    desk.panel.threshold_row.moved.emit(0.9)
    assert not desk.viewer.layers["lesion mask"].data.any()
