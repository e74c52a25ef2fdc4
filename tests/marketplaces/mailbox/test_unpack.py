"""What is taken out of a mail: its text, and models by what they hold. All else stays closed, and nothing in a mail raises anything."""

import json
import stat
import struct
import subprocess
import sys
import time
import zipfile
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.domain.errors import Refused
from agent.marketplaces.mailbox import unpack
from agent.marketplaces.mailbox.opening import open_mail
from agent.marketplaces.mailbox.unpack import Mail, Unpacking, kind_of, main
from tests.marketplaces.mailbox.bench import HOOK, LID, mail, zipped

LIMIT = 1_000_000
MAIL = mail()
OBJ = b"# cube\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def unpacked(content: bytes, folder: Path, limit: int = LIMIT) -> Mail:
    taking = Unpacking(folder, limit)
    taking.take(message_from_bytes(content, policy=default))
    return taking.mail


def closed(content: bytes, folder: Path) -> str:
    """Why an archive was not opened."""
    found = unpacked(mail(files={"models.zip": content}), folder)
    assert found.models == []
    (one,) = found.closed
    assert one.name == "models.zip"
    return one.why


def info(name: str, **changed: int) -> zipfile.ZipInfo:
    one = zipfile.ZipInfo(name)
    for key, value in changed.items():
        setattr(one, key, value)
    return one


def test_models_are_known_by_what_they_hold(tmp_path: Path) -> None:
    text_stl = b"solid x\nfacet normal 0 0 1\n outer loop\n"
    files = {"a.bin": HOOK, "b.txt": text_stl, "c.stl": OBJ, "d.stl": b"%PDF-1.7 not a model", "e.exe": b"MZ\x90", "f": b""}
    found = unpacked(mail(files=files), tmp_path)
    assert [(one.name, one.kind) for one in found.models] == [("a.bin", ".stl"), ("b.txt", ".stl"), ("c.stl", ".obj")]
    assert [(one.name, one.why) for one in found.closed] == [(name, "it is no model") for name in ("d.stl", "e.exe", "f")]
    assert (tmp_path / found.models[0].path).read_bytes() == HOOK


@pytest.mark.parametrize("name", ["../../etc/hook.stl", "C:\\dir\\hook.stl", "/abs/hook.stl", "ho\x00ok.stl", "hook\r\nX: y.stl"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    message = EmailMessage()
    message.set_content("x")
    message.add_attachment(HOOK, maintype="model", subtype="stl", filename="hook.stl")
    raw = message.as_bytes().replace(b'filename="hook.stl"', b"filename*=utf-8''" + "".join(f"%{c:02X}" for c in name.encode()).encode())
    (one,) = unpacked(raw, tmp_path).models
    assert "/" not in one.name and "\\" not in one.name and one.name.isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["m1.stl"]


# --- archives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../hook.stl", "a/../../hook.stl", "/hook.stl", "\\\\server\\hook.stl", "C:hook.stl", "..\\hook.stl"])
def test_an_archive_with_a_path_out_of_it_is_not_opened(tmp_path: Path, name: str) -> None:
    assert closed(zipped(("good.stl", LID), (name, HOOK)), tmp_path) == "it holds a path that leads out of it"
    assert list(tmp_path.iterdir()) == []


def test_archives_that_are_not_opened(tmp_path: Path) -> None:
    bomb = zipped(("hook.stl", b"\0" * 900_000))
    assert closed(bomb, tmp_path) == "what is in it is larger than is taken"
    assert closed(zipped(("hook.stl", HOOK * 2000), compression=zipfile.ZIP_STORED), tmp_path) == "what is in it is larger than is taken"
    assert closed(zipped(*((f"{n}.stl", HOOK) for n in range(201))), tmp_path) == "it holds more than 200 files"
    assert closed(zipped(("a.stl", HOOK), ("A.STL", LID)), tmp_path) == "it holds two files of one name"
    link = info("hook.stl", external_attr=(stat.S_IFLNK | 0o777) << 16)
    assert closed(zipped((link, b"/etc/passwd")), tmp_path) == "it holds a link, or no file"
    assert closed(zipped(("hook.stl", HOOK), compression=zipfile.ZIP_LZMA), tmp_path) == "it is packed in a way that is not known"
    assert closed(zipped(("hook.stl", HOOK))[:-30], tmp_path) == "it is damaged"
    assert closed(b"PK\x03\x04" + b"\0" * 100, tmp_path) == "it is damaged"


def test_an_encrypted_archive_is_not_opened(tmp_path: Path) -> None:
    content = bytearray(zipped(("hook.stl", HOOK)))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    assert closed(bytes(content), tmp_path) == "it is encrypted"


def test_a_bomb_that_says_it_is_small_is_cut_where_it_says(tmp_path: Path) -> None:
    content = bytearray(zipped(("hook.stl", b"\0" * 900_000)))
    for signature, size in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        content[content.index(signature) + size :][:4] = b""
        struct.pack_into("<I", content, content.index(signature) + size, 1000)
    assert closed(bytes(content), tmp_path) == "it is damaged"


def test_an_archive_in_an_archive_stays_closed(tmp_path: Path) -> None:
    found = unpacked(mail(files={"models.zip": zipped(("inner.zip", zipped(("hook.stl", HOOK))), ("lid.stl", LID))}), tmp_path)
    assert [one.name for one in found.models] == ["lid.stl"]
    assert [(one.name, one.why) for one in found.closed] == [("models.zip/inner.zip", "an archive in an archive")]


# --- any bytes ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000) | st.builds(lambda a, b: MAIL[:a] + b + MAIL[a + len(b) :], st.integers(0, 900), st.binary(max_size=30)))
@example(b"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain; charset=\xff\n\n\xff\xfe\n--a--")
@example(b"Content-Type: text/plain; charset=undefined\n\n\xc3")
@example(b"Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nx")
@example(b"Content-Type: text/html\n\n<![if<!--<!DOCTYPE[<?\x00&#99999999999;")
@example(b"Content-Disposition: attachment; filename*0*=utf-8''%ff; filename*0=\"x\"\n\nabc")
def test_any_bytes_are_a_mail_or_told_as_none(tmp_path: Path, content: bytes) -> None:
    path, folder = tmp_path / "mail.eml", tmp_path / "parts"
    folder.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert main([str(path), str(folder), str(LIMIT)]) == 0
    assert isinstance(json.loads((folder / unpack.RESULT).read_text())["why"], str)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=5000))
def test_any_bytes_are_of_some_kind(content: bytes) -> None:
    assert kind_of(content) in ("", ".stl", ".3mf", ".obj", ".zip")


# --- the child ------------------------------------------------------------------------------------------------------


async def test_a_mail_is_taken_apart_by_a_child(tmp_path: Path) -> None:
    (tmp_path / "mail.eml").write_bytes(mail())
    (tmp_path / "parts").mkdir()
    opened = await open_mail(tmp_path / "mail.eml", tmp_path / "parts", LIMIT)
    assert [(one.name, one.bytes) for one in opened.models] == [("hook.stl", len(HOOK))]
    assert "You earn: 12.50 EUR" in opened.text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\nx\n" * 300, "it has more than 200 parts"),
        (b"Content-Type: text/plain\n\n" + b"x" * 900_000, "it is longer than any offer"),
        (mail(files={f"{n}.stl": HOOK + b"" for n in range(101)}), "its models are larger, or more, than is taken from one mail"),
    ],
    ids=["parts", "text", "models"],
)
async def test_a_mail_that_holds_too_much_is_told_so(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "mail.eml").write_bytes(content)
    (tmp_path / "parts").mkdir()
    with pytest.raises(Refused, match=why):
        await open_mail(tmp_path / "mail.eml", tmp_path / "parts", LIMIT)


async def test_a_mail_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts in parts in parts, each with a header that the standard library parses for a long time."""
    monkeypatch.setattr("agent.marketplaces.mailbox.opening._CPU_S", 1)
    slow = b"".join(b"Content-Type: multipart/mixed; boundary=a%d; %s\n\n--a%d\n" % (n, b"a*0*=x;" * 8000, n) for n in range(150))
    (tmp_path / "mail.eml").write_bytes(slow)
    (tmp_path / "parts").mkdir()
    began = time.monotonic()
    with pytest.raises(Refused, match="ended early"):
        await open_mail(tmp_path / "mail.eml", tmp_path / "parts", LIMIT)
    assert time.monotonic() - began < 10


def test_the_child_imports_little() -> None:
    """It is started for each mail of a listed sender, on a small machine."""
    code = "import sys; import agent.marketplaces.mailbox.unpack; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert not {"pydantic", "httpx", "structlog", "sqlalchemy"} & set(loaded.stdout.split())
