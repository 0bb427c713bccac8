"""The public names; `lazy_loader` reads them from here, and so do type checkers."""

from .corrections.store import CorrectionStore as CorrectionStore
from .errors import CheckpointError as CheckpointError
from .errors import InputError as InputError
from .errors import TrainingError as TrainingError
from .errors import WaveGMSError as WaveGMSError
from .errors import WeightsNotFoundError as WeightsNotFoundError
from .files.mask_writer import write_mask as write_mask
from .files.reading import read_image as read_image
from .files.reading import read_mask as read_mask
from .finetune.from_corrections import fine_tune as fine_tune
from .learn.config import TrainConfig as TrainConfig
from .learn.evaluate import evaluate as evaluate
from .learn.pairs import Pair as Pair
from .learn.pairs import load_pairs as load_pairs
from .learn.train import train as train
from .model.card import read_card as read_card
from .model.registry import list_models as list_models
from .segment.segmenter import Segmentation as Segmentation
from .segment.segmenter import Segmenter as Segmenter
from .segment.segmenter import segment_stack as segment_stack

__version__: str
