"""Printers that print well until they are told to lie: an OctoPrint and a Moonraker as far as the agent asks for them."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from typing import Any

from tests.printers.moonraker_peer import Peer, running_peer, stats, web_of
from tests.printers.wire import KEY, Answer, Request, Wire, canned
from tests.rigs.mosquitto import Mosquitto

NONSENSE: tuple[Answer, ...] = (
    canned(b'{"state": "Prin'),
    canned(b'{"state": "\xff\xfe\xb0"}'),
    canned({"state": "Dancing", "job": {"file": {"path": None}}}),
    canned({"state": 7, "job": [], "progress": "a lot"}),
    canned(b"<html>Please log in</html>", Content_Type="text/html"),
    lambda request: request.connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
)


class OctoPrint:
    """`lies`: how each request is answered in place of the truth, one after another, again and again."""

    def __init__(self) -> None:
        self.lies: Iterator[Answer] | None = None
        self.starts: list[str] = []
        self.selected = ""
        self.done = False
        self.uploaded: set[str] = set()

    def lie(self, *answers: Answer) -> None:
        self.lies = itertools.cycle(answers)

    def repent(self) -> None:
        self.lies = None

    def answer(self, request: Request) -> None:
        method, path, _ = request.line.split()
        if self.lies is not None:
            next(self.lies)(request)
        elif (method, path) == ("POST", "/api/files/local"):
            self._store(request)
        elif method == "POST":
            self.starts.append(self.selected)
            canned(b"", 204)(request)
        else:
            self._tell(path, request)

    def _store(self, request: Request) -> None:
        self.selected, _ = uploaded_file(request)
        self.uploaded.add(self.selected)
        canned({"done": True, "files": {"local": {"name": self.selected, "path": self.selected}}}, 201)(request)

    def _tell(self, path: str, request: Request) -> None:
        name = path.rpartition("/")[2]
        if path == "/api/job":
            canned(self._job())(request)
        elif name in self.uploaded:
            canned({"path": name, "prints": {"success": int(self.done), "failure": 0}})(request)
        else:
            canned({"error": "not found"}, 404)(request)

    def _job(self) -> dict[str, Any]:
        at_work = bool(self.starts) and not self.done
        completion = 100.0 if self.done else 40.0 if at_work else 0.0
        return {
            "state": "Printing" if at_work else "Operational",
            "job": {"file": {"path": self.selected or None}},
            "progress": {"completion": completion, "printTimeLeft": 600},
        }


@contextmanager
def running_octoprint_stub() -> Iterator[tuple[OctoPrint, Wire]]:
    octoprint = OctoPrint()
    with Wire(octoprint.answer) as wire:
        yield octoprint, wire


class Moonraker:
    """What AgentHome.add_moonraker asks of a server. `lies`: bytes in place of every answer over MQTT."""

    broker_host, instance, api_key = "127.0.0.1", "voron1", KEY

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.broker_port, self.broker_user, self.broker_password = peer.broker.port, peer.broker.username, peer.broker.password
        self.url = ""
        self.starts: list[str] = []
        self.status = stats()
        self._files: dict[str, bytes] = {}
        self._truth: dict[str, Any] = {
            **peer.answers,
            "printer.objects.query": lambda _params: self.status,
            "printer.gcode.script": self._script,
            "printer.print.start": self._start,
        }
        self.repent()

    def lie(self, *payloads: bytes) -> None:
        lies = itertools.cycle(payloads)
        self._peer.answers = dict.fromkeys(self._truth, lambda _params: next(lies))

    def repent(self) -> None:
        self._peer.answers = dict(self._truth)

    def finish(self) -> None:
        self.status = stats("complete", self.starts[-1], progress=1.0)

    def web(self, request: Request) -> None:
        """Files over HTTP."""
        if request.line.startswith("POST"):
            name, content = uploaded_file(request)
            self._files[name] = content
            canned({"item": {"path": name, "size": len(content)}}, 201)(request)
        else:
            canned(self._files[request.line.split()[1].rpartition("/")[2]])(request)

    def _script(self, params: dict[str, Any]) -> str:
        word, _, name = str(params["script"]).partition(" ")
        if word == "M23":
            self.status = stats("standby", name)
        return "ok"

    def _start(self, params: dict[str, Any]) -> str:
        self.starts.append(str(params["filename"]))
        self.status = stats("printing", self.starts[-1], progress=0.4, print_duration=60.0)
        return "ok"


@contextmanager
def running_moonraker_stub(broker: Mosquitto) -> Iterator[Moonraker]:
    with running_peer(broker, Moonraker.instance) as peer:
        moonraker = Moonraker(peer)
        with Wire(web_of(config={"config": {"mqtt": {"instance_name": Moonraker.instance}}}, otherwise=moonraker.web)) as wire:
            moonraker.url = wire.url
            yield moonraker


def uploaded_file(request: Request) -> tuple[str, bytes]:
    """The file of a form: its name and its content."""
    kind = next(line for line in request.head.split(b"\r\n") if line.lower().startswith(b"content-type"))
    form = BytesParser().parsebytes(kind + b"\r\n\r\n" + request.body)
    part = next(part for part in form.walk() if part.get_filename())
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return str(part.get_filename()), content
