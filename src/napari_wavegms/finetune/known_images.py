"""What the images that a fine-tuned model learned from look like, for its card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_wavegms.segment.ood import LEAST_IMAGES, OODDetector, encoder_fingerprint

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.network import WaveGMS

MOST_IMAGES = 500  # a tenth of a second each


def known_images(
    network: WaveGMS, card: ModelCard, new: Sequence[Pair], replayed: Sequence[Pair] = ()
) -> dict[str, Any]:
    """What a fine-tuned model's card is to say of its training images.

    Where the encoder stayed as it was (Quick), what the start's card says still holds, and the new images are added.
    Where it changed (Full), nothing that was measured before holds: the images at hand are measured afresh, if there
    are at least `LEAST_IMAGES`, and otherwise the card says nothing rather than something wrong.

    Parameters
    ----------
    network : WaveGMS
        The fine-tuned one, in evaluation mode.
    card : ModelCard
        Its card, which still says what the start's did.
    new, replayed : sequence of Pair
        What it learned from; the newest `MOST_IMAGES` count.
    """
    import torch

    from napari_wavegms.segment.preprocessing import Preprocessing, prepare

    device = next(network.parameters()).device
    rules = Preprocessing.from_dict(card.preprocessing)

    def latents(pair: Pair) -> npt.NDArray[Any]:
        pixels = torch.from_numpy(prepare(pair.image, rules).pixels)[None].to(device)
        with torch.inference_mode():
            return network.encoder(pixels).mean[0].cpu().numpy()  # type: ignore[no-any-return]

    new = new[-MOST_IMAGES:]
    if known := OODDetector.of(card, network):
        return known.with_corrections(map(latents, new)).as_dict()
    replayed = replayed[: MOST_IMAGES - len(new)]
    if len(new) + len(replayed) < LEAST_IMAGES:
        return {}
    encoder = encoder_fingerprint(network, card.preprocessing)
    return OODDetector.fit(map(latents, (*new, *replayed)), encoder=encoder).as_dict()
