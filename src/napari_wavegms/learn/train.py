"""Training and fine-tuning: best, last and history are on disk as the run goes."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from napari_wavegms.errors import InputError, TrainingError
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.events import TrainEvent, TrainResult, run_to_end
from napari_wavegms.learn.frames import framed
from napari_wavegms.learn.learner import Learner
from napari_wavegms.learn.teacher import ImageTeacher
from napari_wavegms.learn.training_run import Run, new_card
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import choose_device, release_memory
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.storage.memory import out_of_memory

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.model.codec import TinyVAE


def train(
    pairs: Sequence[Pair],
    validation: Sequence[Pair] = (),
    *,
    output: str | os.PathLike[str],
    start: str | os.PathLike[str] | None = "default",
    config: TrainConfig | None = None,
    replay: Sequence[Pair] = (),
    device: str = "auto",
    resume: bool = False,
    on_event: Callable[[TrainEvent], object] | None = None,
) -> TrainResult:
    """Train a model on images with masks, from a model or from random weights.

    Parameters
    ----------
    pairs : sequence of Pair
        What to learn from; one is enough.
    validation : sequence of Pair
        What to choose the best epoch by (mean DSC at the working size); without any, the last epoch is kept.
    output : path-like
        Folder for best.safetensors, last.safetensors and history.jsonl.
    start : str, path-like or None
        The name of an installed model or a model file to start from; None starts from random weights.
    config : TrainConfig, optional
        The recipe; by default the paper's, 1000 epochs at 224 pixels.
    replay : sequence of Pair
        Earlier pairs that are mixed in so that they are not forgotten; see `TrainConfig.replay_share`.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    resume : bool
        Continue the run in `output`, if there is one.
    on_event : callable, optional
        Called with each event: TrainStarted, TrainStep, TrainEpoch, and MemoryShort where a batch did not fit.

    Returns
    -------
    TrainResult
        The files, the best score and the number of epochs.

    Raises
    ------
    InputError
        If there are no pairs, all masks are empty, or a resumed run had other settings.
    CheckpointError
        If the start cannot be loaded.
    TrainingError
        If the loss is no longer finite, or files cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_wavegms.learn.pairs import Pair
    >>> mask, tiny = np.pad(np.ones((8, 8), bool), 4), TrainConfig(epochs=1, size=16)
    >>> result = train([Pair("square", 200 * mask, mask)], start=None, config=tiny, output="run")
    >>> result.best.name, result.epochs
    ('best.safetensors', 1)
    """
    config = config or TrainConfig()
    card: ModelCard | None = None
    if start is None:
        torch.manual_seed(config.seed)
        network = WaveGMS()
    else:
        network, card = load_checkpoint(resolve(start))
    run = iter_train(
        pairs,
        validation,
        network,
        load_codec("mask-codec"),
        config,
        output,
        replay=replay,
        card=card,
        device=choose_device(device).name,
        resume=resume,
    )
    return run_to_end(run, on_event)


def iter_train(
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
    origin: Mapping[str, Any] = MappingProxyType({}),
    device: str = "cpu",
    resume: bool = False,
    resumable: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[TrainEvent, None, TrainResult]:
    """Train a network on pairs of images and masks: the generator form of `train`, with every part given.

    Closing the generator stops the run; `best.safetensors` then holds the best epoch so far, or the state at the stop
    if there was none. Everything random follows from the seed and the epoch, so that a run resumed from
    `last.safetensors` continues as if it had not been stopped. Both files are written after each epoch, or after some
    of them where writing would take more than a twentieth of the time.

    Parameters
    ----------
    start : WaveGMS
        The network to start from; it is trained in place.
    codec : TinyVAE
        Encodes and decodes masks.
    teacher : ImageTeacher, optional
        Gives the image latents to align with; by default a frozen copy of `start`'s encoder.
    card : ModelCard, optional
        The card of the model to make, with the lineage of its start; this run's settings, scores and preprocessing are
        filled in.
    origin : mapping
        What the card's lineage tells of this run, beside its settings.
    resumable : bool
        Write `last.safetensors`, four times as large as the model. Otherwise the caller writes the result, and
        `best.safetensors` is there only in case the run is killed, closed or fails.
    stop : callable
        Asked after every step and epoch; once it returns True, the run ends with what it has.
    """
    if not pairs:
        raise InputError("There is no pair of image and mask to learn from. Add at least one.")
    if not any(pair.mask.any() for pair in pairs):
        raise InputError("All masks are empty, so there is nothing to learn. Draw at least one structure.")
    folder = Path(output)
    card = card or ModelCard(name=folder.name)
    rules = Preprocessing.from_dict(card.preprocessing | {"size": config.size})
    frames = framed(pairs, rules, start.classes).with_replayed(framed(replay, rules, start.classes))
    learner = Learner(frames, start, codec, config, teacher, device)
    card = new_card(card, rules, codec.fingerprint, config, {"pairs": len(pairs), **origin})
    run = Run(learner, framed(validation, rules, start.classes), card, folder, resumable)
    teaching = learner.teach_copies()
    del learner  # so that its memory is free as soon as the run is over
    with _writing(folder):
        if resume:
            run.resume()
    try:
        try:
            for _ in teaching if run.epoch == 0 else ():
                if stop():
                    break
        except RuntimeError as error:
            if not out_of_memory(error):  # with which the run's own steps know what to do
                raise
        with _writing(folder):
            started = run.started()
        del teaching
        yield started
        while run.goes_on() and not stop():
            for event in run.train_epoch():
                yield event
                if stop():
                    break
            else:
                with _writing(folder):
                    epoch = run.finish_epoch()
                yield epoch
        result = run.result()
        if resumable:
            with _writing(folder):
                run.save_best()
        return result
    except BaseException:
        with _writing(folder):
            run.leave_best()
        raise
    finally:
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
