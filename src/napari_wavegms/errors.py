"""The errors a user may meet: each message says in a sentence or two what is wrong and what to do.

None derives from `RuntimeError`: generator workers of superqt, and so napari's, swallow that one.
"""


class WaveGMSError(Exception):
    """Base of every error that napari-wavegms raises on purpose; its text can be shown to a user."""


class InputError(WaveGMSError, ValueError):
    """An image, mask, folder or option that does not fit."""


class CheckpointError(WaveGMSError):
    """A model file that is missing, damaged, foreign or too new."""


class WeightsNotFoundError(WaveGMSError):
    """Weights that the user has to provide, or allow to be downloaded."""


class TrainingError(WaveGMSError):
    """A training run that cannot start or continue."""
