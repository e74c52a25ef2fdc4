"""The printer proves who it is before it is told anything, on each of its ports."""

import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from agent.domain.errors import AgentError, ConfigError, NeedsOperator
from agent.printers.bambu import camera
from agent.printers.bambu.access import BambuAccess
from agent.printers.bambu.ftps import PrinterFiles
from agent.printers.bambu.trust import context_for
from agent.wire.mqtt import Broker, MqttLink
from tests.printers.bambu_peers import CODE, HOST, SERIAL, FtpScript, authority, ftps, server_context, serving


class Listener:
    """What was said to a printer that says nothing."""

    def __init__(self) -> None:
        self.heard = bytearray()

    def talk(self, peer: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            while piece := peer.recv(4096):
                self.heard += piece


def access_at(port: int, ca_file: Path, serial: str = SERIAL) -> BambuAccess:
    return BambuAccess(HOST, serial, CODE, ca_file, "P1S", mqtt_port=port, ftps_port=port, camera_port=port)


WRONG = [
    pytest.param("01P00A000000002", "Test CA", SERIAL, "the printer '01P00A000000002', not", id="another printer"),
    pytest.param(SERIAL, "Test CA", SERIAL.lower(), "capitals and small letters count", id="wrong case"),
    pytest.param(SERIAL, "Another CA", SERIAL, "", id="another authority"),
]


@pytest.mark.parametrize(("serial", "ca", "asked", "why"), WRONG)
async def test_mqtt_says_nothing_to_a_stranger(tmp_path: Path, serial: str, ca: str, asked: str, why: str) -> None:
    listener = Listener()
    with serving(server_context(tmp_path, serial, ca), listener.talk) as port:
        link = MqttLink(Broker(HOST, port, "bblp", CODE, context_for(authority(tmp_path), asked)), ["x"], lambda _t, _p: None)
        async with link:
            with pytest.raises(NeedsOperator) as wrong:
                await link.wait_up(10)
    assert wrong.value.code == "bad_certificate"
    assert why in wrong.value.told()
    assert listener.heard == b""


@pytest.mark.parametrize(("serial", "ca", "asked", "why"), WRONG)
@pytest.mark.parametrize("ask", ["files", "camera"])
def test_nothing_is_said_to_a_stranger(tmp_path: Path, serial: str, ca: str, asked: str, why: str, ask: str) -> None:
    listener = Listener()
    with serving(server_context(tmp_path, serial, ca), listener.talk) as port:
        access = access_at(port, authority(tmp_path), asked)
        context = context_for(access.ca_file, access.serial)
        with pytest.raises(NeedsOperator) as wrong:
            PrinterFiles(access, context).size("x") if ask == "files" else camera.snapshot(access, context)
    assert wrong.value.code == "bad_certificate"
    assert why in wrong.value.told()
    assert listener.heard == b""


def test_the_right_printer_is_believed(tmp_path: Path) -> None:
    with ftps(tmp_path, FtpScript({"a": b"123"})) as port:
        access = access_at(port, authority(tmp_path))
        assert PrinterFiles(access, context_for(access.ca_file, SERIAL)).size("a") == 3


def test_only_tls_1_2_is_spoken(tmp_path: Path) -> None:
    newer = server_context(tmp_path)
    newer.maximum_version = newer.minimum_version = ssl.TLSVersion.TLSv1_3
    with serving(newer, Listener().talk) as port, socket.create_connection((HOST, port)) as raw, pytest.raises(ssl.SSLError):
        context_for(authority(tmp_path), SERIAL).wrap_socket(raw)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        context_for(path, SERIAL)
    assert str(path) in str(error.value)
    assert error.value.hint


def test_the_access_code_is_never_shown(tmp_path: Path) -> None:
    assert CODE not in repr(access_at(1, tmp_path))


@pytest.mark.parametrize("answer", [f"530 no {CODE}", f"500 what {CODE}?", f"550 {CODE}"])
def test_nor_where_the_printer_says_it(tmp_path: Path, answer: str) -> None:
    with ftps(tmp_path, FtpScript(answers={"PASS": answer})) as port:
        access = access_at(port, authority(tmp_path))
        with pytest.raises(AgentError) as refused:
            PrinterFiles(access, context_for(access.ca_file, SERIAL)).size("a")
    assert CODE not in refused.value.told()
    assert refused.value.__suppress_context__
