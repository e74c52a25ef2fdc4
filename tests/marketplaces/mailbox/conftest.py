"""One dovecot for all tests of a file that do not stop it, emptied between them; and what is logged."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.marketplaces.mailbox.bench import Logs, Told
from tests.rigs.dovecot import Dovecot, running_dovecot


@pytest.fixture(scope="package")
def running() -> Iterator[Dovecot]:
    with running_dovecot() as server:
        yield server


@pytest.fixture
def server(running: Dovecot) -> Iterator[Dovecot]:
    yield running
    for folder in ("new", "cur"):
        for path in (running.maildir / folder).iterdir():
            with contextlib.suppress(FileNotFoundError):  # dovecot moves what is new
                path.unlink()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "mailbox" / "post"


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def logs() -> Iterator[Logs]:
    with structlog.testing.capture_logs() as entries:
        yield entries
