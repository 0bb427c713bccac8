"""Sizes against closed forms, and against SimpleITK's statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from napari_wavegms.segment.measure import measure, measured_rows, objects_of

SPACINGS = [(1.0, 1.0), (0.5, 1.0), (0.7, 0.9)]


def plane(steps: tuple[float, float], side: float = 200) -> tuple[Any, Any]:
    """Coordinates of the pixels of a square, from its centre."""
    rows, columns = np.mgrid[: int(side / steps[0]), : int(side / steps[1])]
    return (rows + 0.5) * steps[0] - side / 2, (columns + 0.5) * steps[1] - side / 2


@pytest.mark.parametrize("steps", SPACINGS)
@pytest.mark.parametrize("angle", [0, 30, 45])
def test_an_ellipse_within_one_percent(steps: tuple[float, float], angle: float) -> None:
    y, x = plane(steps)
    turned = math.radians(angle)
    u, v = x * math.cos(turned) + y * math.sin(turned), y * math.cos(turned) - x * math.sin(turned)
    (one,) = measure(((u / 80) ** 2 + (v / 45) ** 2 <= 1).astype(np.uint8), steps)
    t = np.linspace(0, 2 * math.pi, 10_001)
    around = np.hypot(np.diff(80 * np.cos(t)), np.diff(45 * np.sin(t))).sum()
    found = one.size, one.diameter, one.across, one.perimeter
    assert found == pytest.approx((math.pi * 80 * 45, 160, 90, around), rel=0.01)


@pytest.mark.parametrize("steps", SPACINGS)
def test_a_ring_has_two_outlines(steps: tuple[float, float]) -> None:
    y, x = plane(steps)
    radius = np.hypot(y, x)
    (one,) = measure(((radius <= 80) & (radius >= 40)).astype(np.uint8), steps)
    assert (one.size, one.diameter, one.across) == pytest.approx((math.pi * (6400 - 1600), 160, 160), rel=0.01)
    assert one.perimeter == pytest.approx(2 * math.pi * 120, rel=0.01)


def test_a_rectangle_of_few_pixels_is_exact_in_area_and_close_in_length() -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[4, 5] = 3
    labels[10:14, 10:22] = 7
    dot, bar = measure(labels, (2.0, 2.0))
    assert (dot.label, dot.size, dot.diameter) == (3, 4.0, 2.0)
    assert (bar.label, bar.size) == (7, 192.0)
    assert bar.diameter == pytest.approx(math.hypot(8, 24), rel=0.05)


def test_pieces_are_numbered_by_size_and_the_label_comes_first() -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[2:5, 2:5] = labels[20:50, 20:50] = 1
    image = np.full(labels.shape, np.nan)
    image[2:5, 2:5], image[20:50, 20:50] = 10, 20
    rows = measure(labels, image=image)
    assert [(one.piece, one.pixels, one.mean) for one in rows[1:]] == [(1, 900, 20), (2, 9, 10)]
    assert (rows[0].piece, rows[0].pixels, rows[0].diameter) == (0, 909, None)
    assert rows[0].mean == pytest.approx((900 * 20 + 9 * 10) / 909)


def test_a_ball_against_its_closed_form_and_simpleitk() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is optional")
    steps = (3.0, 0.6, 0.8)
    z, y, x = ((np.arange(n) + 0.5) * step - n * step / 2 for n, step in zip((41, 200, 150), steps, strict=True))
    ball = (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= 50**2).astype(np.uint8)
    image = np.random.default_rng(0).integers(0, 999, ball.shape).astype(np.int16)
    (one,) = measure(ball, steps, image)
    assert one.size == pytest.approx(4 / 3 * math.pi * 50**3, rel=0.01)
    assert (one.diameter, one.across) == pytest.approx((100, 100), rel=0.01)
    assert one.perimeter is None
    mask, values = sitk.GetImageFromArray(ball), sitk.GetImageFromArray(image)
    for written in (mask, values):
        written.SetSpacing(steps[::-1])
    statistics, shape = sitk.LabelStatisticsImageFilter(), sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(values, mask)
    shape.Execute(mask)
    assert one.size == pytest.approx(shape.GetPhysicalSize(1))
    assert one.mean == pytest.approx(statistics.GetMean(1))


def test_objects_are_numbered_over_all_frames_and_know_their_labels() -> None:
    labels = np.zeros((2, 5, 9), np.uint8)
    labels[0, :2, :2], labels[0, 3:, 5:], labels[1, 2, 2] = 3, 1, 2
    objects, drawn = objects_of(labels, "TYX", None)
    assert drawn == (3, 1, 2)
    assert objects.dtype == np.uint8
    assert [int(objects[at]) for at in ((0, 0, 0), (0, 4, 8), (1, 2, 2), (1, 0, 0))] == [1, 2, 3, 0]
    rows = measured_rows("m", objects, "TYX", None)
    assert [(row["frame"], row["label"], row["pixels"]) for row in rows] == [("1", 1, 4), ("1", 2, 8), ("2", 3, 1)]
