"""Work handed to a cluster of dask.distributed: `--scheduler`."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Generator, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from napari_wavegms.commands.common.workers import SetUp
from napari_wavegms.errors import InputError, ProcessLostError

Task = TypeVar("Task")

_PATIENCE = 10  # seconds until a scheduler answers
_loading = Lock()


def on_cluster(
    set_up: SetUp, tasks: Sequence[Task], address: str, *, name_of: Callable[[Task], str] = str
) -> Generator[tuple[Task, Any], None, None]:
    """Do tasks on the workers of a scheduler, by its address or its file; yields as `workers.in_processes` does.

    A worker that dies has its tasks done again by another one; a task that ends several workers, or is lost with its
    scheduler, has a `ProcessLostError` for its outcome. Raises `InputError` if there is no such scheduler.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise InputError("--scheduler needs dask.distributed: pip install 'napari-wavegms[cluster]'") from error
    try:
        if address.endswith(".json"):  # which distributed would wait for without end
            address = json.loads(Path(address).read_bytes())["address"]
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"No scheduler of dask.distributed answers at {address}. Give its address, such as "
            "tcp://node7:8786, or its scheduler file (.json)."
        ) from error
    packed = pickle.dumps(set_up)
    with client:
        futures = client.map(_do, [packed] * len(tasks), tasks, pure=False)
        owners = {future.key: task for future, task in zip(futures, tasks, strict=True)}
        futures_left = as_completed(futures)
        del futures  # or their results would stay on the workers
        for future in futures_left:
            task = owners[future.key]
            failure = future.exception() if future.status == "error" else None
            if future.status == "cancelled" or type(failure).__name__ in ("KilledWorker", "FutureCancelledError"):
                yield task, ProcessLostError(f"{name_of(task)}: the workers or the scheduler that had it ended.")
            else:
                yield task, failure or future.result()
            future.release()


def _do(set_up: bytes, task: Any) -> Any:
    """What runs on a worker: an exception travels as a result, so that it is not taken for the worker's."""
    with _loading:  # a worker with several threads loads the model once
        _, work = _set_up(set_up)
    try:
        return work(task)
    except Exception as error:
        return error


@cache
def _set_up(packed: bytes) -> tuple[Any, Callable[[Any], Any]]:
    set_up: SetUp = pickle.loads(packed)
    return set_up()
