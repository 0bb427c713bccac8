"""Write into a fine-tuned model's card what the images it learned from look like."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_wavegms.segment.ood import LEAST_IMAGES, OODDetector, encoder_fingerprint

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.network import WaveGMS


MOST_IMAGES = 500
"""More are not looked at; a tenth of a second each."""


def after_fine_tuning(
    card: ModelCard, network: WaveGMS, new: Sequence[npt.ArrayLike], replayed: Sequence[npt.ArrayLike] = ()
) -> dict[str, Any]:
    """What a fine-tuned model's card is to say.

    Where the encoder stayed as it was (Quick), what the start knew holds, and the new images are added.
    Where it changed (Full), nothing that was measured before holds: the images at hand are measured anew, if there are
    at least `LEAST_IMAGES`, and otherwise the model says nothing rather than something wrong.

    Parameters
    ----------
    card, network : ModelCard, WaveGMS
        Of the fine-tuned model; the card still says what the start's did.
    new, replayed : sequence of array-like of shape (4, h, w)
        Latents of the images that were learned from, by this very network.
    """
    if known := OODDetector.of(card, network):
        return known.with_corrections(new).as_dict()
    if len(new) + len(replayed) < LEAST_IMAGES:
        return {}
    return OODDetector.fit([*new, *replayed], encoder=encoder_fingerprint(network, card.preprocessing)).as_dict()


def remember(
    file: str | os.PathLike[str], new: Sequence[Pair], replayed: Sequence[Pair] = (), device: str = "cpu"
) -> dict[str, Any]:
    """Look at the images that a model learned from, and write what they look like into its file's card.

    Parameters
    ----------
    file : path-like
        A model; replaced in one step, its weights untouched.
    new, replayed : sequence of Pair
        What it learned from; the newest `MOST_IMAGES` count. See `after_fine_tuning`.
    device : str
        A torch device name.

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    CheckpointError
        If the file is no model.
    """
    import torch

    from napari_wavegms.model.checkpoint import load_checkpoint, rewrite_card
    from napari_wavegms.segment.preprocessing import Preprocessing, prepare

    network, card = load_checkpoint(file, device)
    rules = Preprocessing.from_dict(card.preprocessing)

    def seen(pair: Pair) -> npt.NDArray[Any]:
        pixels = torch.from_numpy(prepare(pair.image, rules).pixels)[None].to(device)
        with torch.inference_mode():
            return network.encoder(pixels).mean[0].cpu().numpy()  # type: ignore[no-any-return]

    new = new[-MOST_IMAGES:]
    # Where the encoder stayed, the replayed ones are known already.
    replayed = () if OODDetector.of(card, network) else replayed[: MOST_IMAGES - len(new)]
    familiarity = after_fine_tuning(card, network, [*map(seen, new)], [*map(seen, replayed)])
    rewrite_card(file, replace(card, familiarity=familiarity))
    return familiarity
