"""Mails that become no offer but a question: a person is told once, with all that was understood and all that was not."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.marketplaces import downloads
from agent.marketplaces.mailbox.files import Links
from agent.marketplaces.mailbox.standing import look_at
from tests.marketplaces.mailbox.bench import HOOK, LID, Logs, Told, dealt_with, mail, mail_server, mailbox, offered, text, zipped
from tests.rigs.dovecot import Dovecot
from tests.rigs.http_stub import Handler, Stub, drip, reply

CERTIFICATE = Path(__file__).parents[2] / "rigs" / "files.example.pem"
LINKED = text(File="").replace("Quantity: 2", "Download: https://files.example:{port}/a/hook.stl\nQuantity: 2")


async def question(server: Dovecot, state: Path, told: Told, logs: Logs, content: bytes, **more: Any) -> Path:
    """The folder of the question that this mail is."""
    server.deliver(content)
    async with mailbox(mail_server(server), state, told, **more) as market:
        (entry,) = await dealt_with(market, logs, "mail_not_understood")
        assert await market.offers() == []
    assert len(told.notices) == 1
    assert entry["folder"] in told.texts[0]
    return Path(entry["folder"])


async def test_a_person_finds_everything_beside_the_question(server: Dovecot, state: Path, told: Told, logs: Logs) -> None:
    content = mail(text(Infill="150 %") + "Make it strong\n", files={"hook.stl": HOOK, "notes.pdf": b"%PDF"})
    folder = await question(server, state, told, logs, content)
    assert sorted(path.name for path in folder.iterdir()) == ["WHY.txt", "hook.stl", "mail.eml", "order.toml"]
    why = (folder / "WHY.txt").read_text()
    assert "The infill in “Infill: 150 %” is not understood" in why
    assert "material (item 1): PET-G    from the line: Material: PET-G" in why
    assert "Make it strong" in why
    assert "notes.pdf: it is no model" in why
    assert "infill_percent = ?" in (folder / "order.toml").read_text()
    assert (folder / "hook.stl").read_bytes() == HOOK
    assert (folder / "mail.eml").read_bytes().replace(b"\r\n", b"\n") == content
    standing = await look_at(mail_server(server), "INBOX", state, None)
    assert (standing.questions, standing.tells, standing.mails) == ([folder], True, 1)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "Item 1: no model called hook.stl came with the mail."),
        ({"other.stl": HOOK}, "Item 1: no model called hook.stl came with the mail."),
        ({"hook.stl": HOOK, "lid.stl": LID}, "lid.stl came with the mail, and no item names it."),
        ({"hook.stl": HOOK, "a.zip": zipped(("HOOK.STL", LID))}, "Item 1: 2 different models are called hook.stl."),
        ({"hook.stl": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"}, "Item 1: hook.stl holds a OBJ file."),
        ({"a.zip": zipped(("../hook.stl", HOOK))}, "Item 1: no model called hook.stl came with the mail."),
    ],
)
async def test_a_model_that_is_not_plainly_the_one(
    server: Dovecot, state: Path, told: Told, logs: Logs, files: dict[str, bytes], why: str
) -> None:
    await question(server, state, told, logs, mail(files=files))
    assert why in told.texts[0]


async def test_a_mail_larger_than_is_taken(server: Dovecot, state: Path, told: Told, logs: Logs) -> None:
    folder = await question(server, state, told, logs, mail(files={"hook.stl": HOOK * 100}), largest_bytes=20_000)
    assert "It is larger than" in (folder / "WHY.txt").read_text()


async def test_the_same_question_is_told_once(server: Dovecot, state: Path, told: Told, logs: Logs) -> None:
    await question(server, state, told, logs, mail("Hello"))
    (state / "seen.json").unlink()
    async with mailbox(mail_server(server), state, told) as market:
        await market.offers()
    assert len(told.notices) == 1


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every name leads to this machine, which plays the public internet."""
    asked: list[str] = []

    async def found(host: str, _port: int) -> list[Any]:
        asked.append(host)
        return [downloads.ipaddress.ip_address("127.0.0.1")]

    monkeypatch.setattr(downloads, "_addresses", found)
    monkeypatch.setattr(downloads, "is_public", lambda address: True)  # noqa: ARG005
    yield asked


def links(*hosts: str) -> Links:
    return Links(hosts or ("files.example",), ssl.create_default_context(cafile=str(CERTIFICATE)))


def https(answer: bytes | Handler) -> Stub:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    return Stub(answer, tls=server)


async def test_a_model_behind_a_link(server: Dovecot, state: Path, tmp_path: Path, resolved: list[str]) -> None:
    async with https(reply(200, HOOK)) as files:
        other = f"See https://files.example:{files.port}/accept?offer=1\n"
        server.deliver(mail(LINKED.format(port=files.port) + other, files={}))
        async with mailbox(mail_server(server), state, links=links()) as market:
            (offer,) = await offered(market)
            await market.fetch(offer.offer_id, None, "f1", tmp_path / "f1", 10_000)
        assert [request.path for request in files.received] == ["/a/hook.stl"], "other links are never asked: asking may be answering"
    assert (tmp_path / "f1").read_bytes() == HOOK
    assert offer.files[0].name == "hook.stl"
    assert set(resolved) == {"files.example"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(200, b"<html>log in</html>"), "hook.stl, behind its link, is no model"),
        (reply(200, b""), "hook.stl, behind its link, is empty"),
        (reply(200, HOOK * 2000), "The file is larger than"),
        (reply(404, b"{}"), "404"),
        (reply(307, b"", Location="http://files.example/x"), "leaves https"),
        (reply(307, b"", Location="https://other.example/x"), "other.example, which is not among the hosts that files may come from"),
        (reply(307, b"", Location="/a/hook.stl"), "again and again"),
    ],
)
async def test_links_that_lead_nowhere_good(
    server: Dovecot, state: Path, told: Told, logs: Logs, resolved: list[str], answer: bytes, why: str
) -> None:
    async with https(answer) as files:
        content = mail(LINKED.format(port=files.port), files={})
        await question(server, state, told, logs, content, links=links(), largest_bytes=100_000)
    assert why in told.texts[0]
    assert "other.example" not in resolved


async def test_a_link_to_a_host_that_is_not_listed_is_not_asked(
    server: Dovecot, state: Path, told: Told, logs: Logs, resolved: list[str]
) -> None:
    async with https(reply(200, HOOK)) as files:
        await question(server, state, told, logs, mail(LINKED.format(port=files.port), files={}), links=links("models.example"))
        assert files.received == []
    assert resolved == []


async def test_a_listed_name_that_leads_into_the_operators_own_network_is_not_asked(
    server: Dovecot, state: Path, told: Told, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(_host: str, _port: int) -> list[Any]:
        return [downloads.ipaddress.ip_address("127.0.0.1")]

    monkeypatch.setattr(downloads, "_addresses", found)
    async with https(reply(200, HOOK)) as files:
        await question(server, state, told, logs, mail(LINKED.format(port=files.port), files={}), links=links())
        assert files.received == []
    assert "which leads to 127.0.0.1, which is not on the public internet" in told.texts[0]


@pytest.mark.usefixtures("resolved")
async def test_a_link_that_cannot_be_had_now_is_tried_again_then_asked_about(
    server: Dovecot, state: Path, told: Told, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "LEAST_S", 0.1)
    async with https(drip(0.05)) as files:
        await question(server, state, told, logs, mail(LINKED.format(port=files.port), files={}), links=links())
        assert len(files.received) == 3
    assert "could not be fetched in 3 tries" in told.texts[0]
