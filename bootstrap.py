"""Install napari-wavegms beside this file, in the virtual environment `.venv`, and run a command there.

    python3 bootstrap.py wavegms demo
    python3 bootstrap.py napari
    python3 bootstrap.py tox

Needs Python 3.11 or newer with pip, and nothing else; what it installs stays in this folder, in the tested versions of
`constraints.txt`. For `tox` only tox is installed, because tox makes an environment of its own. Run it again at any
time: what is already there is kept.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PROGRAMS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = PROGRAMS / ("python.exe" if os.name == "nt" else "python")


def main(command: list[str]) -> int:
    """Set up the environment, run `command` in it and give back its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one should read a sentence
        version = sys.version.split()[0]
        print(f"napari-wavegms needs Python 3.11 or newer and this is {version}: start bootstrap.py with a newer one.")
        return 2
    if not command:
        print(__doc__)
        return 2
    try:
        make_environment()
        install("tox" if command[0] == "tox" else f"{ROOT}[all]")
        return subprocess.run([str(PROGRAMS / command[0]), *command[1:]], check=False).returncode
    except FileNotFoundError:
        print(f"There is no command '{command[0]}' in {VENV}. Try: wavegms demo, napari, tox.", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"Setting up {VENV} failed; what pip printed above says why.", file=sys.stderr)
        return error.returncode
    except KeyboardInterrupt:
        return 130


def make_environment() -> None:
    """Make `.venv` with pip in it, also where Python came without `ensurepip`, as Debian's does."""
    if not PYTHON.exists():
        venv.create(VENV, symlinks=os.name != "nt")
    if subprocess.run([PYTHON, "-c", "import pip"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return
    if importlib.util.find_spec("ensurepip"):
        subprocess.run([PYTHON, "-m", "ensurepip"], check=True)
    else:
        subprocess.run([sys.executable, "-m", "pip", "--python", PYTHON, "install", "pip"], check=True)


def install(requirement: str) -> None:
    """Install `requirement` into `.venv` in the tested versions."""
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--constraint", ROOT / "constraints.txt", requirement], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
