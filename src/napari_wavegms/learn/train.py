"""Training and fine-tuning: a generator that yields events and leaves best, last and history behind as it goes."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wavegms.errors import InputError, TrainingError
from napari_wavegms.learn.events import TrainEvent, TrainResult
from napari_wavegms.learn.teacher import ImageTeacher
from napari_wavegms.learn.training_run import Run
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.device import release_memory
from napari_wavegms.model.network import WaveGMS

if TYPE_CHECKING:
    from napari_wavegms.learn.config import TrainConfig
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.model.codec import TinyVAE


def train(
    pairs: Sequence[Pair],
    validation: Sequence[Pair],
    start: WaveGMS,
    codec: TinyVAE,
    config: TrainConfig,
    output: str | os.PathLike[str],
    *,
    replay: Sequence[Pair] = (),
    teacher: ImageTeacher | None = None,
    card: ModelCard | None = None,
    device: str = "cpu",
    resume: bool = False,
    resumable: bool = True,
) -> Generator[TrainEvent, None, TrainResult]:
    """Train a network on pairs of images and masks.

    Closing the generator stops the run; `best.safetensors` then holds the best epoch so far, or the state at the stop
    if none was validated. Everything random follows from the seed and the epoch, so a run resumed from
    `last.safetensors` continues as if it had not been stopped; that file is written after each epoch, or after some of
    them where writing would take more than a twentieth of the time.

    Parameters
    ----------
    pairs : sequence of Pair
        What to learn from; one is enough.
    validation : sequence of Pair
        What to choose the best epoch by (mean DSC at the working size); may be empty, then the last epoch is the best.
    start : WaveGMS
        The network to start from; it is trained in place.
    codec : TinyVAE
        Encodes and decodes masks.
    config : TrainConfig
        The recipe.
    output : path-like
        Folder for best.safetensors, last.safetensors and history.jsonl.
    replay : sequence of Pair
        Earlier pairs that are mixed in so that they are not forgotten; see `TrainConfig.replay_share`.
    teacher : ImageTeacher, optional
        Gives the image latents to align with; by default a frozen copy of `start`'s encoder.
    card : ModelCard, optional
        The card of the model to make, with the lineage of its start; this run's settings, scores and preprocessing are
        filled in.
    device : str
        A torch device name.
    resume : bool
        Continue from `last.safetensors` in `output`, if it is there.
    resumable : bool
        Write `last.safetensors`, four times as large as the model.

    Yields
    ------
    TrainStarted, MemoryShort, TrainStep, TrainEpoch

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If there are no pairs, none has a mask with anything in it, or a resumed run had other settings.
    TrainingError
        If the loss is no longer finite, or files cannot be written.
    """
    if not pairs:
        raise InputError("There is no pair of image and mask to learn from. Add at least one.")
    if not any(pair.mask.any() for pair in pairs):
        raise InputError("All masks are empty, so there is nothing to learn. Draw at least one structure.")
    everything, folder = [*pairs, *replay], Path(output)
    run = Run(everything, len(pairs), validation, start, codec, config, folder, teacher, card, device, resumable)
    try:
        with _writing(run.output):
            if resume:
                run.resume()
            started = run.started()
        yield started
        while run.goes_on():
            yield from run.train_epoch()
            with _writing(run.output):
                epoch = run.finish_epoch()
            yield epoch
        return run.result()
    finally:
        with _writing(run.output):
            run.leave_something()
        del run
        gc.collect()
        release_memory()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what a full or vanished disk raises into a sentence."""
    try:
        yield
    except OSError as error:
        why, remedy = f"Writing failed ({error.strerror or error})", "Choose a folder that can be written to."
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            why, remedy = "The disk is full", "Make room there and try again."
        raise TrainingError(
            f"{why}: what is learned could not be written to {folder}. The models are untouched. {remedy}"
        ) from error
