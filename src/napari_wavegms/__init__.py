"""Wave-GMS for napari: segment a medical image, correct the mask, and let the model learn from the correction.

Importing this package loads neither torch nor napari nor Qt: a public name, see `__init__.pyi`, imports its module when
it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
