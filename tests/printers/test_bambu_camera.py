"""One picture from the chamber camera, from peers that send one and peers that do not."""

import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from agent.domain.errors import AgentError, Refused, Transient
from agent.printers.bambu import camera
from agent.printers.bambu.access import BambuAccess
from agent.printers.bambu.trust import context_for
from tests.printers.bambu_peers import CODE, HOST, SERIAL, authority, server_context, serving

JPEG = b"\xff\xd8\xff\xe0" + bytes(100_000) + b"\xff\xd9"


def frame(picture: bytes, size: int | None = None) -> bytes:
    return struct.pack("<IIII", len(picture) if size is None else size, 0, 1, 0) + picture


def logged_in(peer: ssl.SSLSocket) -> bool:
    login = b""
    while len(login) < 80 and (piece := peer.recv(80)):
        login += piece
    return login == struct.pack("<IIII", 0x40, 0x3000, 0, 0) + b"bblp".ljust(32, b"\0") + CODE.encode().ljust(32, b"\0")


def sending(*pieces: bytes) -> Callable[[ssl.SSLSocket], None]:
    def talk(peer: ssl.SSLSocket) -> None:
        assert logged_in(peer)
        for piece in pieces:
            peer.sendall(piece)

    return talk


def picture_of(folder: Path, talk: Callable[[ssl.SSLSocket], None]) -> bytes:
    with serving(server_context(folder), talk) as port:
        access = BambuAccess(HOST, SERIAL, CODE, authority(folder), "P1S", camera_port=port)
        return camera.snapshot(access, context_for(access.ca_file, SERIAL))


def test_a_picture(tmp_path: Path) -> None:
    assert picture_of(tmp_path, sending(frame(JPEG), frame(JPEG))) == JPEG


def test_a_header_of_its_own_and_a_picture_in_pieces(tmp_path: Path) -> None:
    whole = frame(JPEG)
    assert picture_of(tmp_path, sending(whole[:7], whole[7:16], whole[16:50_000], whole[50_000:])) == JPEG


@pytest.mark.parametrize(
    ("sent", "kind", "code"),
    [
        ([], Transient, "camera_away"),
        ([frame(JPEG)[:5000]], Transient, "camera_away"),
        ([frame(b"", 2**32 - 1)], Refused, "no_picture"),
        ([frame(b"")], Refused, "no_picture"),
        ([frame(b"GIF89a" + bytes(100))], Refused, "no_picture"),
        ([frame(JPEG[:-2] + b"..")], Refused, "no_picture"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100)], Refused, "no_picture"),
    ],
    ids=["hangs up, as at a wrong code", "cut off", "huge", "empty", "no JPEG", "no end", "another server"],
)
def test_no_picture(tmp_path: Path, sent: list[bytes], kind: type[AgentError], code: str) -> None:
    with pytest.raises(kind) as error:
        picture_of(tmp_path, sending(*sent))
    assert error.value.code == code
    assert CODE not in error.value.told()


def test_a_camera_that_trickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "LIMIT_S", 0.5)

    def talk(peer: ssl.SSLSocket) -> None:
        assert logged_in(peer)
        with suppress(OSError):
            for byte in frame(JPEG):
                peer.sendall(bytes([byte]))
                time.sleep(0.02)

    began = time.monotonic()
    with pytest.raises(Transient):
        picture_of(tmp_path, talk)
    assert time.monotonic() - began < 5
