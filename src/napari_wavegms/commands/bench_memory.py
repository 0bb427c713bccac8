"""How much memory this process has had at most."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mib() -> float | None:
    """Largest resident memory of this process so far, in MiB; None where the system does not tell, as on Windows."""
    if _STATUS.is_file():
        # Linux hands getrusage's figure from a process to those that it starts, so that it would be our parent's.
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
        return float(fields["VmHWM"].split()[0]) / 1024 if "VmHWM" in fields else None
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
