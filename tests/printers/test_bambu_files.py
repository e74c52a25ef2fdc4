"""Files on a printer that takes them well, and on printers that do not."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.printers.bambu import ftps as ftps_client
from agent.printers.bambu.access import BambuAccess
from agent.printers.bambu.ftps import PrinterFiles, sending_s
from agent.printers.bambu.trust import context_for
from tests.printers.bambu_peers import CODE, HOST, SERIAL, FtpScript, authority, ftps

NAME = "o-1-1-0123abcd.gcode.3mf"
CONTENT = os.urandom(1_000_000)


@contextmanager
def files(folder: Path, script: FtpScript) -> Iterator[PrinterFiles]:
    with ftps(folder, script) as port:
        access = BambuAccess(HOST, SERIAL, CODE, authority(folder), "P1S", ftps_port=port)
        yield PrinterFiles(access, context_for(access.ca_file, SERIAL))


def store(files: PrinterFiles, content: bytes = CONTENT) -> None:
    files.store(io.BytesIO(content), len(content), NAME)


def test_a_file_is_stored_replaced_and_read(tmp_path: Path) -> None:
    script = FtpScript()
    with files(tmp_path, script) as printer:
        assert printer.size(NAME) is None
        store(printer, b"an older one")
        store(printer)
        assert printer.size(NAME) == len(CONTENT)
        assert printer.head(NAME, 1000) == CONTENT[:1000]
        assert printer.head(NAME, 10_000_000) == CONTENT
    assert script.files == {NAME: CONTENT}
    assert script.reused and all(script.reused), "vsFTPd answers 522 to a data connection with a session of its own"


def test_a_printer_that_never_says_goodbye(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftps_client, "GOODBYE_S", 0.2)
    script = FtpScript(hangs_at_goodbye=True)
    with files(tmp_path, script) as printer:
        store(printer)
    assert script.files == {NAME: CONTENT}


def test_a_file_that_arrived_short_is_deleted(tmp_path: Path) -> None:
    script = FtpScript(cuts_to=999_000)
    with files(tmp_path, script) as printer, pytest.raises(Transient) as short:
        store(printer)
    assert short.value.code == "cut_short"
    assert "999000" in str(short.value)
    assert script.files == {}


def test_a_connection_that_breaks_leaves_no_half_file(tmp_path: Path) -> None:
    script = FtpScript(breaks_after=300_000)
    with files(tmp_path, script) as printer:
        with pytest.raises(Transient):
            store(printer)
        assert script.files == {}
        store(printer)
    assert script.files == {NAME: CONTENT}


def test_a_printer_that_goes_away_altogether_says_what_may_be_left(tmp_path: Path) -> None:
    script = FtpScript(breaks_after=300_000, answers={"SIZE": "421 too busy"})
    with files(tmp_path, script) as printer, pytest.raises(Transient) as broken:
        store(printer)
    assert "the next upload replaces it" in broken.value.told()


def test_an_upload_that_is_given_up_ends_at_once(tmp_path: Path) -> None:
    script = FtpScript(stalls=threading.Event())
    assert script.stalls is not None
    with files(tmp_path, script) as printer:
        failed: list[AgentError] = []

        def upload() -> None:
            try:
                store(printer)
            except AgentError as error:
                failed.append(error)

        thread = threading.Thread(target=upload)
        thread.start()
        assert script.began.wait(10)
        printer.give_up()
        thread.join(8)
        assert not thread.is_alive()
        script.stalls.set()
    assert isinstance(failed[0], Transient)


def test_an_upload_that_is_too_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftps_client, "sending_s", lambda _size: 0.0)
    script = FtpScript()
    with files(tmp_path, script) as printer, pytest.raises(Transient) as slow:
        store(printer)
    assert slow.value.code == "timeout"
    assert script.files == {}


def test_the_limit_grows_with_the_file() -> None:
    assert sending_s(50_000_000) > 1000 > sending_s(1000) > 100


@pytest.mark.parametrize(
    ("answers", "kind", "code"),
    [
        ({"PASS": "530 Login incorrect."}, NeedsOperator, "wrong_password"),
        ({"STOR": "552 no room"}, NeedsOperator, "card_full"),
        ({"STOR": "452 no room"}, NeedsOperator, "card_full"),
        ({"STOR": "553 no"}, Refused, "upload_refused"),
        ({"STOR": "522 SSL connection failed: session reuse required"}, Transient, "ftps"),
        ({"PASV": "227 nonsense"}, Transient, "ftps"),
        ({"USER": "what?"}, Transient, "ftps"),
        ({"SIZE": "213 many"}, Transient, "unreachable"),
        ({"STOR": "\x1b[2J 150"}, Transient, "ftps"),
    ],
)
def test_what_a_server_may_say(tmp_path: Path, answers: dict[str, str], kind: type[AgentError], code: str) -> None:
    with files(tmp_path, FtpScript(answers=answers)) as printer, pytest.raises(kind) as error:
        store(printer)
    assert error.value.code == code
    assert error.value.told().isprintable()


def test_nobody_there(tmp_path: Path) -> None:
    access = BambuAccess(HOST, SERIAL, CODE, authority(tmp_path), "P1S", ftps_port=1)
    with pytest.raises(Transient) as away:
        PrinterFiles(access, context_for(access.ca_file, SERIAL)).size(NAME)
    assert away.value.code == "unreachable"
