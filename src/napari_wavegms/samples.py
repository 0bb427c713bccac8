"""Synthetic images with a known lesion, to try everything offline: breast ultrasound, a loop, a volume, and a mole.

No patient is shown; the seed decides every pixel. The ultrasound is made as a scanner makes it: scatterers of random
phase (fully developed speckle [1]_), weighted by the echo strength of each tissue, blurred by the probe's point-spread
function, compounded from a few looks, and the envelope log-compressed. The lesions differ as textbooks say that cysts,
fibroadenomas and carcinomas do [2]_. The mole is white light through melanin (Beer and Lambert).

References
----------
.. [1] Wagner, R. F., et al. (1983). Statistics of speckle in ultrasound B-scans. IEEE Trans. Sonics Ultrason. 30(3).
.. [2] Stavros, A. T., et al. (1995). Solid breast nodules: use of sonography ... Radiology 196(1), 123-134.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.postprocess import fill_holes, keep_largest

Field = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
LayerData = tuple[Pixels, dict[str, Any], str]

DYNAMIC_RANGE = 60.0  # dB from black to white
LOOKS = 3  # compounding: that many independent speckle patterns are averaged
_LEAST_SIDE = 32
_FULL = 256  # rows for which the lengths below are meant, in pixels
_EXTENT = 0.6  # of a volume's half length, in which the lesion lies
_VOXEL = (3.0, 0.8, 0.8)  # mm, of the sample
_MELANIN = np.array([0.45, 1.0, 1.35])  # absorbs more blue than red


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A synthetic image, its mask (1 is lesion), and its name.

    The image is grey (H, W), RGB (H, W, 3), or has frames or slices, (N, H, W).
    """

    image: Pixels
    mask: Pixels
    name: str


@dataclass(frozen=True, slots=True)
class _Lesion:
    """Echo strength and unevenness inside and enhancement behind in dB; softness of the margin in pixels."""

    echo: float
    texture: float
    softness: float
    waviness: float
    behind: float


@dataclass(frozen=True, slots=True)
class _View:
    """One image of a scan: how the tissue is moved in pixels and deformed, the lesion's size, and the speckle's phase.

    Of a size below 0 the lesion is beside the image.
    """

    shift: tuple[float, float]
    turn: float
    size: float
    speckle: float


_CYST = _Lesion(echo=-61.0, texture=0.8, softness=0.9, waviness=0.05, behind=9.0)
_FIBROADENOMA = _Lesion(echo=-47.5, texture=2.2, softness=1.2, waviness=0.10, behind=4.0)
_CARCINOMA = _Lesion(echo=-48.0, texture=3.2, softness=2.6, waviness=0.20, behind=-9.0)
_KINDS = (_CYST, _CARCINOMA, _FIBROADENOMA, _FIBROADENOMA)  # solid benign lesions are the commonest


def ultrasound_phantom(seed: int = 0, shape: tuple[int, int] = (256, 320)) -> Phantom:
    """Make a B-mode ultrasound image of a breast with one dark lesion, which takes 5 to 15 % of it.

    `seed` is a whole number from 0; `shape` is rows and columns, each at least 32. Raises `InputError` otherwise.

    Examples
    --------
    >>> phantom = ultrasound_phantom(seed=0)
    >>> phantom.image.shape, bool(phantom.image[phantom.mask == 1].mean() < phantom.image.mean())
    ((256, 320), True)
    """
    cine = ultrasound_stack(1, shape, seed)
    return Phantom(cine.image[0], cine.mask[0], f"ultrasound_phantom_{seed}")


def ultrasound_stack(frames: int = 12, shape: tuple[int, int] = (256, 320), seed: int = 0) -> Phantom:
    """Make a cine loop (T, H, W) whose first frame is `ultrasound_phantom`; tissue and lesion move with breathing."""
    count = _whole(frames, 1, "number of frames")
    canvas, views = _Canvas(seed, shape), []
    for frame in range(count):
        breath = 2 * math.pi * frame / max(count, 12)
        shift = 5 * canvas.scale * math.sin(breath), 4.5 * canvas.scale * (1 - math.cos(breath))
        # The probe never sees quite the same scatterers twice: speckle turns slowly into other speckle.
        views.append(_View(shift, 0.35 * math.sin(breath), 1.0, 0.12 * frame))
    return _scanned(canvas, views, f"ultrasound_stack_{seed}")


def ultrasound_volume(slices: int = 32, shape: tuple[int, int] = (96, 96), seed: int = 0) -> Phantom:
    """Make a volume (Z, H, W) as a breast scanner sweeps it: the lesion begins, grows, shrinks and ends on the way.

    The other parameters and errors are those of `ultrasound_phantom`, whose lesion is the one of the middle slice.
    """
    count = _whole(slices, 1, "number of slices")
    canvas, views = _Canvas(seed, shape), []
    for number in range(count):
        along = (2 * number + 1) / count - 1  # from -1 to 1
        room = 1 - (along / _EXTENT) ** 2
        drift = canvas.scale * 8 * along
        views.append(_View((drift, 2 * drift), 0.3 * along, math.copysign(math.sqrt(abs(room)), room), 1.9 * number))
    return _scanned(canvas, views, f"ultrasound_volume_{seed}")


def _scanned(canvas: _Canvas, views: Sequence[_View], name: str) -> Phantom:
    from scipy import ndimage

    lesion = _KINDS[canvas.rng.integers(len(_KINDS))]
    outline = _Outline(canvas, area=(0.06, 0.13), ratio=(1.2, 1.9), row=0.41, waviness=lesion.waviness)
    tissue, skin, below_skin = _breast(canvas)
    inside = lesion.echo + lesion.texture * canvas.noise(4, 6)
    speckle = canvas.rng.standard_normal((2, LOOKS, 2, *canvas.shape))
    images, masks = [], []
    for view in views:
        distance = outline.distance(view.shift, view.turn, view.size)
        weight = _ramp(-distance / (lesion.softness * canvas.scale))
        passed = ndimage.gaussian_filter(np.cumsum(weight, axis=0) / (2 * outline.height), (0, 3 * canvas.scale))
        echo = ndimage.shift(tissue, view.shift, order=1, mode="nearest")
        echo += (inside - echo) * weight + lesion.behind * passed * (1 - weight)
        pattern = math.cos(view.speckle) * speckle[0] + math.sin(view.speckle) * speckle[1]
        images.append(_b_mode(skin + (echo - skin) * below_skin, pattern, canvas.scale))
        masks.append((distance < 0).astype(np.uint8))
    return Phantom(np.stack(images), np.stack(masks), name)


def skin_lesion_phantom(seed: int = 0, shape: tuple[int, int] = (256, 256)) -> Phantom:
    """Make a dermoscopy image (H, W, 3) of skin with a mole, which takes 8 to 25 % of it, and hairs.

    Parameters and errors as in `ultrasound_phantom`.

    Examples
    --------
    >>> phantom = skin_lesion_phantom(seed=0)
    >>> phantom.image.shape, phantom.mask.shape
    ((256, 256, 3), (256, 256))
    """
    from scipy import ndimage

    canvas = _Canvas(seed, shape)
    outline = _Outline(canvas, area=(0.10, 0.22), ratio=(1.0, 1.6), row=0.5, waviness=0.14)
    distance = outline.distance() / canvas.scale + 2.6 * canvas.noise(6, 6) + 0.7 * canvas.noise(1.8, 1.8)
    flush, light = 5 * canvas.noise(40, 40) + 3 * canvas.noise(6, 6), 6 * canvas.noise(70, 70)
    skin = np.array([220.0, 183.0, 165.0]) + canvas.rng.normal(0, 9) + light[..., None]
    skin = skin - flush[..., None] * np.array([0.3, 1.0, 0.8])  # blood makes it uneven
    # Melanin is denser inwards, patchy, and forms a fine network.
    density = canvas.rng.uniform(0.4, 0.7) + 0.35 * _ramp((-distance - 14) / 9) + 0.22 * canvas.noise(16, 16)
    density += 0.12 * canvas.noise(5, 5) + 0.22 * _line(canvas.noise(1.9, 1.9), 0.5)
    # The eye sees the edge where the colour starts to change, a little outside of half the density.
    density = np.clip(density, 0.15, None) * _ramp((1 - distance) / canvas.rng.uniform(3, 5))
    picture = skin * np.exp(-_MELANIN * density[..., None])
    picture += (np.array([52.0, 36.0, 30.0]) - picture) * _hairs(canvas)[..., None]
    picture = ndimage.gaussian_filter(picture, (0.6 * canvas.scale, 0.6 * canvas.scale, 0))
    picture += 1.5 * canvas.rng.standard_normal(picture.shape)
    mask = fill_holes(keep_largest((distance < 0).astype(np.uint8)))
    return Phantom(_as_pixels(picture), mask, f"skin_lesion_phantom_{seed}")


def ultrasound_sample() -> list[LayerData]:
    """The ultrasound phantom and its mask as napari layers."""
    return _layers(ultrasound_phantom(), ("y", "x"))


def ultrasound_stack_sample() -> list[LayerData]:
    """The ultrasound cine loop and its masks as napari layers."""
    return _layers(ultrasound_stack(), ("t", "y", "x"))


def ultrasound_volume_sample() -> list[LayerData]:
    """The swept ultrasound volume and its mask as napari layers, in millimetres."""
    return _layers(ultrasound_volume(), ("z", "y", "x"), scale=_VOXEL, units=("mm", "mm", "mm"))


def skin_lesion_sample() -> list[LayerData]:
    """The skin phantom and its mask as napari layers."""
    return _layers(skin_lesion_phantom(), ("y", "x"))


def _layers(phantom: Phantom, axis_labels: tuple[str, ...], **place: Any) -> list[LayerData]:
    metadata = {"source": "synthetic, made by napari-wavegms; shows no patient"}
    about = {"axis_labels": axis_labels, "metadata": metadata, **place}
    image = {"name": phantom.name, "rgb": phantom.image.ndim > phantom.mask.ndim, **about}
    return [(phantom.image, image, "image"), (phantom.mask, {"name": f"{phantom.name}_truth", **about}, "labels")]


class _Canvas:
    """Random numbers, size, and pixels per pixel of a full-sized image."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        if len(shape) != 2 or min(shape) < _LEAST_SIDE:
            raise InputError(f"A phantom has rows and columns, each at least {_LEAST_SIDE}; the shape is {shape}.")
        self.rng = np.random.default_rng(_whole(seed, 0, "seed"))
        self.shape = (shape[0], shape[1])
        self.scale = min(shape) / _FULL

    def noise(self, down: float, right: float) -> Field:
        """Noise of mean 0 and standard deviation 1, smooth over so many pixels of a full-sized image."""
        from scipy import ndimage

        sigma = (down * self.scale, right * self.scale)
        noise = ndimage.gaussian_filter(self.rng.standard_normal(self.shape), sigma, mode="wrap")
        return (noise - noise.mean()) / noise.std()  # type: ignore[no-any-return]


class _Outline:
    """A tilted ellipse with a wavy edge; area and row are relative to the image."""

    def __init__(
        self, canvas: _Canvas, area: tuple[float, float], ratio: tuple[float, float], row: float, waviness: float
    ) -> None:
        rng, (rows, columns) = canvas.rng, canvas.shape
        self.shape = canvas.shape
        wide = rng.uniform(*ratio)
        self.height = math.sqrt(rng.uniform(*area) * rows * columns / math.pi / wide)  # half of it, as the width
        self.width = self.height * wide
        self.tilt = rng.uniform(-0.3, 0.3)
        self.waves = waviness * rng.uniform(0.3, 1, 7) * (2 / np.arange(2, 9)) ** 1.5
        self.phases = rng.uniform(0, 2 * math.pi, 7)
        self.centre = rows * (row + rng.uniform(-0.05, 0.05)), columns * rng.uniform(0.37, 0.63)

    def distance(self, shift: tuple[float, float] = (0, 0), turn: float = 0, size: float = 1) -> Field:
        """About how far each pixel lies outside (inside: negative), moved, a little deformed, and so large."""
        height, width = self.height * (1 + turn / 4), self.width / (1 + turn / 4)
        rows, columns = np.ogrid[: self.shape[0], : self.shape[1]]
        down, right = rows - self.centre[0] - shift[0], columns - self.centre[1] - shift[1]
        along = (right * math.cos(self.tilt) + down * math.sin(self.tilt)) / width
        across = (down * math.cos(self.tilt) - right * math.sin(self.tilt)) / height
        angle = np.multiply.outer(np.arange(2, 9), np.arctan2(across, along))
        edge = 1 + np.tensordot(self.waves, np.cos(angle + (self.phases + turn)[:, None, None]), axes=1)
        return (np.hypot(along, across) / edge - size) * math.sqrt(height * width)  # type: ignore[no-any-return]


def _breast(canvas: _Canvas) -> tuple[Field, Field, Field]:
    """Echo strength of tissue and of gel and skin, in dB, and where the tissue begins: 0 on the skin, 1 below it."""
    depth = np.linspace(0, 1, canvas.shape[0])[:, None]
    wavy = depth - 0.004 * canvas.noise(60, 30)
    skin = -27 - 14 * _line(wavy - 0.012, 0.007) + 11 * _line(wavy - 0.03, 0.006) + 2.5 * canvas.noise(0.8, 14)
    below_fat = depth - canvas.rng.uniform(0.17, 0.27) - 0.028 * canvas.noise(60, 24)
    below_gland = depth - canvas.rng.uniform(0.60, 0.72) - 0.02 * canvas.noise(60, 40)
    fat = -38.5 + 1.5 * canvas.noise(7, 14) + 12 * _strands(canvas.noise(6, 40))
    gland = -30 + 4.5 * canvas.noise(1.8, 8) + 3 * canvas.noise(7, 20)
    muscle = -42 + 3.5 * canvas.noise(1.5, 16) + 12 * _strands(canvas.noise(5, 55))
    tissue = fat + (gland - fat) * _ramp(below_fat / 0.012)
    tissue += (muscle - tissue) * _ramp(below_gland / 0.02)
    tissue += 7 * _line(below_fat, 0.008) + 8 * _line(below_gland, 0.008)
    tissue -= 15 * np.clip(depth - 0.35, 0, None) + 9 * np.clip((depth - 0.8) / 0.2, 0, 1)
    return tissue, skin, _ramp((wavy - 0.055) / 0.006)


def _b_mode(echo: Field, pattern: Field, scale: float) -> Pixels:
    """Scan echo strengths (H, W) with scatterers (looks, 2, H, W): blur, detect, compound and log-compress."""
    from scipy import ndimage

    axial, lateral = max(0.95 * scale, 0.6), max(2.1 * scale, 0.6)
    waves = ndimage.gaussian_filter(10 ** (echo / 20) * pattern, (0, 0, axial, lateral))
    # Blurring white noise by a Gaussian leaves 1 / (4 pi axial lateral) of its power; a wave has two parts.
    power = (waves**2).sum(axis=1).mean(axis=0) * 2 * math.pi * axial * lateral
    grey = 255 * (1 + 10 * np.log10(power + 10 ** (-DYNAMIC_RANGE / 10)) / DYNAMIC_RANGE)
    return _as_pixels(ndimage.gaussian_filter(np.clip(grey, 0, 255), 0.5 * scale))


def _hairs(canvas: _Canvas) -> Field:
    """How much of each pixel a few bent hairs cover, 0 to 1."""
    from scipy import ndimage
    from skimage import draw

    cover = np.zeros(canvas.shape)
    curve: Any = draw.bezier_curve  # typed in some versions only
    for _ in range(canvas.rng.integers(3, 9)):
        start, end = canvas.rng.uniform(-0.1, 1.1, (2, 2)) * canvas.shape
        bend = (start + end) / 2 + canvas.rng.normal(0, 35 * canvas.scale, 2)
        cover[curve(*np.rint([start, bend, end]).astype(int).ravel(), 1, shape=canvas.shape)] = 1
    shade: Field = ndimage.gaussian_filter(cover, 0.7 * canvas.scale)
    return np.clip(2.4 * shade, 0, 0.85)


def _whole(value: Any, least: int, what: str) -> int:
    if isinstance(value, (int, np.integer)) and value >= least:
        return int(value)
    raise InputError(f"The {what} is {value!r}; give a whole number from {least}.")


def _line(distance: Field, width: float) -> Field:
    return np.exp(-((distance / width) ** 2))


def _strands(noise: Field) -> Field:
    """Thin bent lines that fade in and out, 0 to 1."""
    return _line(noise, 0.13) * np.clip(0.3 + 0.8 * noise, 0, 1)


def _ramp(steps: Field) -> Field:
    """From 0 to 1 around 0."""
    return 0.5 + 0.5 * np.tanh(steps)


def _as_pixels(values: Field) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
