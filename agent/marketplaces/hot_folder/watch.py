"""Being woken when something happens in a folder, by watchdog (inotify on Linux)."""

import logging
from collections.abc import Callable
from pathlib import Path

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = structlog.get_logger()

_INOTIFY = logging.getLogger("watchdog.observers.inotify")

_NEWS = frozenset({"created", "moved", "closed", "deleted", "attrib"})
"""Not each write into a file, of which a large one has thousands; when its writing ends is news. Not that it was opened: that is us."""


class FolderWatch(FileSystemEventHandler):
    """Calls `wake` from a thread of its own. Blocking to open and close. The subfolders are not watched."""

    def __init__(self, folder: Path, wake: Callable[[], object]) -> None:
        self._folder = folder
        self._wake = wake
        self._observer: BaseObserver | None = None

    def open(self) -> None:
        """Where the system cannot watch (too many watches, an odd file system) this is told, and the folder is only looked at."""
        observer = Observer()
        try:
            observer.schedule(self, str(self._folder))
            observer.start()
        except OSError as error:
            log.warning("hot_folder_not_watched", folder=str(self._folder), why=error.strerror, hint="It is looked at now and then.")
            return
        self._observer = observer

    def close(self) -> None:
        """No call comes after this."""
        observer, self._observer = self._observer, None
        if observer is not None:
            _INOTIFY.setLevel(logging.CRITICAL)  # an event that comes while it stops is no error, whatever watchdog says of it
            observer.stop()
            observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _NEWS:
            self._wake()
