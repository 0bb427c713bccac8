"""What has brought the program down when a window went away; run by test_lifetime.py, in a process that may be lost."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QCoreApplication, QEvent, QObject, Signal

from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.writer import JournalWriter, OnEvent
from napari_wavegms.widgets.jobs import JobRunner
from napari_wavegms.widgets.recording.recorder import JournalWatch
from napari_wavegms.widgets.thumbnails import Thumbnails


class Question(QObject):
    asked = Signal()


class Window(QObject):
    """Holds itself, as a widget with a lambda for a slot does, so that only the collector can take it away."""

    def __init__(self, make: Callable[[QObject], QObject]) -> None:
        super().__init__()
        self.question = Question(self)
        self.parts = [make(self) for _ in range(2)]
        self.question.asked.connect(lambda: self.close())

    def close(self) -> None: ...


def collect(folder: Path) -> None:
    """Collect windows that had lived through a collection: now slots are emptied before the window is destroyed."""
    writer = JournalWriter(Journal(folder))
    makers: tuple[Callable[[QObject], QObject], ...] = (
        JobRunner,
        lambda parent: Thumbnails(parent=parent),
        lambda parent: JournalWatch(writer, parent),
    )
    gc.disable()
    for make in makers:
        for question_stays in (True, False):
            window = Window(make)
            if not question_stays:
                window.question.setParent(None)
            gc.collect()
            del window
            gc.collect()


class Told(JournalWriter):
    """Shows who is told, so that it can happen as late as it may: while the watch is being destroyed."""

    def listen(self, on_event: OnEvent) -> Callable[[], None]:
        self.heard = on_event
        return super().listen(on_event)


def tell(folder: Path) -> None:
    """Tell of edits in another thread while windows come and go."""
    sys.setswitchinterval(1e-6)
    writer = Told(Journal(folder))
    ended = threading.Event()
    told = [0]

    def work() -> None:
        while not ended.is_set():
            writer.heard("image", None)
            told[0] += 1

    watch = JournalWatch(writer)
    thread = threading.Thread(target=work)
    thread.start()
    while told[0] < 20_000:
        watch.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        watch = JournalWatch(writer)
        QCoreApplication.processEvents()
    ended.set()
    thread.join()


if __name__ == "__main__":
    application = QCoreApplication([])
    for bring_down in (collect, tell):
        bring_down(Path(sys.argv[1]))
        sys.stdout.write(f"survived: {bring_down.__name__}\n")
        sys.stdout.flush()
