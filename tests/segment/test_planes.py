"""Which planes of a stack are segmented, what is said about them, and that no other is read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wavegms.errors import InputError
from napari_wavegms.segment.planes import ChannelNeeded, StackPlan, in_volume, plan_stack, segment_planes
from napari_wavegms.segment.postprocess import threshold_probability

# No deadline: the first call imports, and the machine may be busy.
steady = settings(deadline=None, derandomize=True)


@dataclass(frozen=True)
class Brightness:
    """A segmenter that needs no network: bright is lesion."""

    level: float = 0.5
    window = None

    def for_volume(self, planes: Any) -> Any:
        return self

    def segment(self, plane: np.ndarray) -> np.ndarray:
        if not np.isfinite(plane).any():
            raise InputError("This image has no finite pixel. Leave it out.")
        grey = plane[..., :3].mean(axis=-1) if plane.ndim == 3 else plane
        return threshold_probability(grey, self.level)


def frames(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


@pytest.mark.parametrize(
    ("shape", "options", "sentence"),
    [
        ((244, 320), {}, "grey, uint8, 244 x 320"),
        ((244, 320, 3), {"rgb": True}, "RGB, uint8, 244 x 320"),
        ((244, 320, 4), {"rgb": True}, "RGBA, uint8, 244 x 320"),
        ((1, 1, 244, 320), {}, "grey, uint8, 244 x 320"),
        ((244, 320, 1), {}, "grey, uint8, 244 x 320"),
        ((1, 244, 320, 3), {"rgb": True}, "RGB, uint8, 244 x 320"),
        ((244, 320, 3), {"rgb": True, "axis_labels": "yx"}, "RGB, uint8, 244 x 320"),
        ((244, 320, 3), {"rgb": True, "axis_labels": "yxc"}, "RGB, uint8, 244 x 320"),
        ((1, 1), {}, "grey, uint8, 1 x 1"),
        ((1, 1, 7), {}, "grey, uint8, 1 x 7"),
        ((12, 512, 512), {"every": True}, "12 frames of 512 x 512"),
        ((12, 512, 512), {"current": (2, 0, 0)}, "frame 3 of 12 frames of 512 x 512"),
        ((12, 512, 512, 3), {"rgb": True, "every": True}, "12 frames of 512 x 512, RGB"),
        ((30, 64, 64), {"axis_labels": ("z", "y", "x"), "every": True}, "30 slices of 64 x 64"),
        ((5, 1, 30, 64, 64), {"axis_labels": "TCZYX", "every": True}, "5 frames x 30 slices of 64 x 64"),
        (
            (5, 30, 64, 64),
            {"axis_labels": "tzyx", "current": (4, 9, 0, 0)},
            "frame 5, slice 10 of 5 frames x 30 slices of 64 x 64",
        ),
        ((12, 3, 512, 512), {"channel_axis": 1, "channel": 0, "every": True}, "12 frames of 512 x 512, channel 1 of 3"),
        (
            (12, 512, 512, 2),
            {"channel_axis": -1, "channel": 1, "every": True},
            "12 frames of 512 x 512, channel 2 of 2",
        ),
        ((3, 512, 512), {"axis_labels": "cyx", "current": (2, 0, 0)}, "grey, uint8, 512 x 512, channel 3 of 3"),
        ((256, 320, 2), {"channel": 1}, "grey, uint8, 256 x 320, channel 2 of 2"),
        ((64, 48, 12), {"axis_labels": "yxt", "every": True}, "12 frames of 64 x 48"),
        (
            (7, 12, 512, 512),
            {"axis_labels": ("axis -4", "axis -3", "axis -2", "axis -1"), "every": True},
            "7 frames x 12 frames of 512 x 512",
        ),
    ],
)
def test_the_preview_says_what_was_understood(shape: tuple[int, ...], options: dict[str, Any], sentence: str) -> None:
    assert plan_stack(shape, np.uint8, **{"rgb": False, **options}).sentence == sentence


@pytest.mark.parametrize(
    ("shape", "options", "sentence"),
    [
        ((256, 320, 2), {}, r"has 2 channels; Wave-GMS reads grey or RGB\. Choose one channel: \[0\] \[1\]\."),
        ((256, 320, 3), {"current": (0, 4, 1)}, r"3 channels.*\[0\] \[1\] \[2\]\."),
        ((2, 256, 320), {"axis_labels": "cyx"}, r"2 channels.*\[0\] \[1\]\."),
        ((256, 320, 4), {"axis_labels": "yxc", "current": (128, 160, 2)}, "4 channels"),
        ((12, 2, 256, 320), {"channel_axis": 1, "every": True}, "2 channels"),
        ((12, 512, 512), {}, r"12 frames and none is shown\. Choose one, or segment every frame"),
        ((12, 512, 512), {"current": (12, 0, 0)}, r"slider is at 12.*frames 0 to 11\. Move the slider"),
        ((3, 64, 64), {"axis_labels": "cyx", "current": (-1, 0, 0)}, "slider is at -1.*channels 0 to 2"),
        ((3, 64, 64), {"channel_axis": 0, "channel": 3}, r"Channel 3 was chosen.*3 channels, counted from 0"),
        ((64, 64), {"channel": 1}, r"Channel 1 was chosen.*1 channel, counted from 0"),
        ((3, 64, 64), {"channel_axis": 3}, r"Axis 3 .* axes 0 to 2"),
        ((7,), {}, r"shape \(7,\).*rows and columns"),
        ((7, 3), {"rgb": True}, r"shape \(7, 3\).*rows and columns"),
        ((3, 64), {"channel_axis": 0, "channel": 0}, r"one axis, of 64; a plane has two"),
        ((0, 64), {}, r"shape \(0, 64\).*no pixel"),
        ((64, 64, 2), {"rgb": True}, r"2 colours; RGB has 3, or 4 with alpha"),
        ((64, 64), {"axis_labels": "zyx"}, r"3 axis labels for 2 axes"),
    ],
)
def test_what_is_unclear_is_asked(shape: tuple[int, ...], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        plan_stack(shape, np.uint8, **{"rgb": False, **options})


def test_a_question_for_a_channel_carries_the_answers() -> None:
    with pytest.raises(ChannelNeeded, match="2 channels") as asked:
        plan_stack((256, 320, 2), np.uint8, rgb=False)
    assert (asked.value.axis, asked.value.choices) == (2, (0, 1))
    plan = plan_stack((256, 320, 2), np.uint8, rgb=False, channel_axis=asked.value.axis, channel=asked.value.choices[1])
    assert plan.indices == ((slice(None), slice(None), 1),)


@pytest.mark.parametrize("dtype", [np.complex64, "datetime64[s]", object, "U5"])
def test_only_real_numbers_are_pixels(dtype: Any) -> None:
    with pytest.raises(InputError, match="reads real numbers"):
        plan_stack((64, 64), dtype, rgb=False)


def test_labels_cover_frames_and_pixels_but_no_channels() -> None:
    plan = plan_stack((5, 3, 1, 40, 60), np.uint8, rgb=False, axis_labels="tczyx", current=(4, 2, 0, 0, 0))
    assert plan.labels_shape == (5, 1, 40, 60)
    assert plan.kept_axes == (0, 2, 3, 4)
    assert plan.indices == ((4, 2, 0, slice(None), slice(None)),)
    assert plan.label_index(0) == (4, 0, slice(None), slice(None))


def test_a_viewer_with_more_axes_than_the_image_looks_at_its_last_ones() -> None:
    plan = plan_stack((12, 40, 60), np.uint8, rgb=False, current=(8, 3, 20, 30))
    assert plan.position == (3,)


@given(st.data())
@steady
def test_every_pixel_of_the_chosen_channel_is_read_once_and_has_its_place(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple))
    channel_axis = data.draw(st.none() | st.integers(0, len(shape) - 1)) if len(shape) > 2 else None
    channel = data.draw(st.integers(0, shape[channel_axis] - 1)) if channel_axis is not None else None
    array = np.arange(math.prod(shape)).reshape(shape)
    plan = plan_stack(shape, array.dtype, rgb=False, every=True, channel_axis=channel_axis, channel=channel)
    expected = array if channel_axis is None else np.take(array, channel, axis=channel_axis)
    labels = np.full(plan.labels_shape, -1)
    for i, index in enumerate(plan.indices):
        assert array[index].ndim == 2
        assert np.all(labels[plan.label_index(i)] == -1)
        labels[plan.label_index(i)] = array[index]
    assert np.array_equal(labels, expected)


def test_all_planes_come_in_order_and_put_together_are_the_whole() -> None:
    array = frames(2, 3, 8, 9)
    plan = plan_stack(array.shape, array.dtype, rgb=False, every=True)
    events = list(segment_planes(Brightness(), array, plan))
    labels = np.zeros(plan.labels_shape, np.uint8)
    for event in events:
        labels[event.index] = event.segmentation
    assert np.array_equal(labels, array >= 0.5)
    assert [(event.number, event.total) for event in events] == [(n, 6) for n in range(1, 7)]


def test_colours_stay_together() -> None:
    array = frames(4, 8, 9, 3)
    plan = plan_stack(array.shape, array.dtype, rgb=True, current=(2, 0, 0))
    (event,) = list(segment_planes(Brightness(), array, plan))
    assert np.array_equal(event.segmentation, array[2].mean(axis=-1) >= 0.5)
    assert event.index == (2, slice(None), slice(None))


def counted_dask(array: np.ndarray) -> tuple[Any, Counter[int]]:
    dask = pytest.importorskip("dask.array", reason="dask is not installed")
    computed: Counter[int] = Counter()

    def read(block_info: Any = None) -> np.ndarray:
        (at, *_) = block_info[None]["chunk-location"]
        computed[at] += 1
        return array[at : at + 1]

    chunks = ((1,) * len(array), *((side,) for side in array.shape[1:]))
    return dask.map_blocks(read, chunks=chunks, dtype=array.dtype, meta=np.empty((0,) * array.ndim)), computed


def counted_zarr(array: np.ndarray) -> tuple[Any, Counter[int]]:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    computed: Counter[int] = Counter()

    class Store(zarr.storage.MemoryStore):  # type: ignore[misc]
        async def get(self, key: str, *args: Any, **options: Any) -> Any:
            if key.startswith("c/"):
                computed[int(key.split("/")[1])] += 1
            return await super().get(key, *args, **options)

    stored = zarr.create_array(Store(), shape=array.shape, chunks=(1, *array.shape[1:]), dtype=array.dtype)
    stored[:] = array
    computed.clear()
    return stored, computed


@pytest.mark.parametrize("counted", [counted_dask, counted_zarr])
def test_lazy_arrays_compute_only_the_planes_asked_for(counted: Any) -> None:
    array = frames(6, 8, 9)
    lazy, computed = counted(array)
    one = plan_stack(lazy.shape, lazy.dtype, rgb=False, current=(4, 0, 0))
    assert not computed
    (event,) = list(segment_planes(Brightness(), lazy, one))
    assert computed == {4: 1}
    assert np.array_equal(event.segmentation, array[4] >= 0.5)

    computed.clear()
    running = segment_planes(Brightness(), lazy, plan_stack(lazy.shape, lazy.dtype, rgb=False, every=True))
    assert not computed
    for n in range(3):
        next(running)
        assert computed == dict.fromkeys(range(n + 1), 1)
    running.close()
    assert computed == {0: 1, 1: 1, 2: 1}


def test_closing_keeps_what_is_finished() -> None:
    array = frames(5, 8, 9)
    plan = plan_stack(array.shape, array.dtype, rgb=False, every=True)
    labels = np.zeros(plan.labels_shape, np.uint8)
    running = segment_planes(Brightness(), array, plan)
    for event in running:
        labels[event.index] = event.segmentation
        if event.number == 2:
            running.close()
    assert np.array_equal(labels[:2], array[:2] >= 0.5)
    assert not labels[2:].any()


def test_a_plane_that_does_not_fit_is_named() -> None:
    array = frames(3, 8, 9)
    array[1] = np.nan
    running = segment_planes(Brightness(), array, plan_stack(array.shape, array.dtype, rgb=False, every=True))
    next(running)
    with pytest.raises(InputError, match=r"Plane 2 of 3: This image has no finite pixel"):
        next(running)
    alone = plan_stack((8, 9), array.dtype, rgb=False)
    with pytest.raises(InputError, match=r"^This image has no finite pixel"):
        next(segment_planes(Brightness(), array[1], alone))


def test_a_plan_fits_one_shape() -> None:
    plan = plan_stack((3, 8, 9), np.uint8, rgb=False, every=True)
    with pytest.raises(InputError, match=r"\(4, 8, 9\).*made for \(3, 8, 9\)"):
        next(segment_planes(Brightness(), frames(4, 8, 9), plan))


def test_plans_are_values() -> None:
    plan = plan_stack((3, 8, 9), np.uint8, rgb=False, every=True)
    assert isinstance(plan, StackPlan)
    assert {plan: 1}[plan_stack([3, 8, 9], "uint8", rgb=False, every=True)] == 1


@steady
@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3), data=st.data())
def test_the_plane_on_screen_comes_first_and_every_plane_once(lengths: list[int], data: st.DataObject) -> None:
    current = tuple(data.draw(st.integers(0, length - 1)) for length in lengths)
    plan = plan_stack((*lengths, 9, 8), "uint8", rgb=False, every=True)
    order = plan.order_from((*current, 0, 0))
    assert plan.indices[order[0]] == (*current, slice(None), slice(None))
    assert sorted(order) == list(range(plan.total))
    away = [abs(number - order[0]) for number in order]
    assert away == sorted(away)


def test_some_planes_can_be_segmented_in_any_order() -> None:
    stack = frames(4, 9, 8)
    plan = plan_stack(stack.shape, stack.dtype, rgb=False, every=True)
    done = list(segment_planes(Brightness(), stack, plan, order=(3, 1)))
    assert [(one.index[0], one.number, one.total) for one in done] == [(3, 1, 2), (1, 2, 2)]
    np.testing.assert_array_equal(done[0].segmentation, stack[3] >= 0.5)


def test_the_range_of_grey_values_is_that_of_all_planes_whichever_is_segmented() -> None:
    array, asked = frames(5, 8, 9), []

    class Asked(Brightness):
        def for_volume(self, planes: Any) -> Any:
            asked.extend(np.asarray(planes[number]) for number in range(len(planes)))
            return self

    in_volume(Asked(), array, plan_stack(array.shape, array.dtype, rgb=False, current=(3, 0, 0)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(asked, array)
