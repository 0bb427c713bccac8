"""Ten corrections from a clinic that the model has never seen: DSC before, after Quick and after Full, and wall time.

    python benchmarks/adapt.py --new ../shared/data/kvasir_seg --known ../shared/data/busi [--draws 3] [--json FILE]

The same as `wavegms bench --only adaptation`; `wavegms bench --help` tells of the options.
"""

import sys

from napari_wavegms.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", "--only", "adaptation", *sys.argv[1:]]))
