"""A folder to watch, what is logged, and a watchdog that can be left out."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import structlog

from agent.marketplaces.hot_folder.watch import FolderWatch
from tests.marketplaces.hot_folder.bench import Logs


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    path = tmp_path / "in box"
    path.mkdir()
    return path


@pytest.fixture
def logs() -> Iterator[Logs]:
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
def no_watch() -> Iterator[None]:
    with mock.patch.object(FolderWatch, "open"):
        yield
