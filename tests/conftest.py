"""What every test can rely on: the data beside the repository, a home of its own, a seed, and no network."""

from __future__ import annotations

import gc
import importlib
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# Read when torch, napari and the hub's client are imported, so set before any test imports them.
# One thread: on the tests' tiny tensors a second one costs more in waiting than it brings, above all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NAPARI_CONFIG"] = ""  # napari keeps its settings in memory and leaves the user's file alone
os.environ["HF_HUB_OFFLINE"] = "1"

# Examples are drawn from a fixed seed, and a busy machine is no reason to fail.
settings.register_profile("house", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile("house")

SEED = 2333
SHARED = Path(__file__).resolve().parents[2] / "shared"
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the development data, which stands beside the repository and is not part of it."""
    if SHARED.is_dir():
        return SHARED
    reason = "the development data is not here: it is expected in ../shared, beside the repository"
    if os.environ.get("WAVEGMS_REQUIRE_SHARED") == "1":
        pytest.fail(f"{reason}, and WAVEGMS_REQUIRE_SHARED=1 requires it")
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def tmp_data_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty user data folder for each test, so that none sees or changes what the user keeps."""
    home = tmp_path_factory.mktemp("wavegms-home")
    monkeypatch.setenv("WAVEGMS_HOME", str(home))
    monkeypatch.delenv("WAVEGMS_TAESD", raising=False)
    return home


@pytest.fixture(autouse=True)
def seed() -> int:
    """Start every test from the same random state and in one thread, and hand the number to those that want it."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 - for libraries that still use the global state
    if torch := sys.modules.get("torch"):
        torch.manual_seed(SEED)
        torch.set_num_threads(1)  # whatever the test before left
    return SEED


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines: what needs the network must not run unasked."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to connect to {address}; tests do not use the network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a recipe as Python does when it is run: its neighbours are modules beside it."""
    monkeypatch.syspath_prepend(str(RECIPES))
    known = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - known:
        if (file := getattr(sys.modules[name], "__file__", None)) and Path(file).parent == RECIPES:
            del sys.modules[name]


@pytest.fixture(autouse=True)
def spared_garbage_collector() -> None:
    """Have the garbage collector leave alone what is there before each test.

    napari has it look through everything whenever a layer goes, and so does each training at its end: a tenth of a
    second of processor time and more for the half million objects of torch, napari and their kin, hundreds of times.
    """
    gc.collect()
    gc.freeze()
