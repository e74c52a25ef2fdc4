"""The agent's real logging into a text instead of stderr, and everything as it was afterwards."""

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import structlog

from agent import logs


class Screen(io.StringIO):
    """What a terminal would get."""

    def isatty(self) -> bool:
        return True


@contextmanager
def written_log(*, json: bool | None = True, level: logs.Level = "info", screen: bool = False) -> Iterator[io.StringIO]:
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, threshold, shown = root.handlers, root.level, warnings.showwarning
    written = Screen() if screen else io.StringIO()
    try:
        with patch.object(sys, "stderr", written):
            logs.configure(level, json)
            yield written
    finally:
        logging.captureWarnings(False)
        warnings.showwarning = shown
        root.handlers = handlers
        root.setLevel(threshold)
        structlog.configure(**configured)
        structlog.contextvars.clear_contextvars()
