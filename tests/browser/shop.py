"""A shop as its operator has it: the real daemon and its page, the sandbox marketplace, virtual printers that take no time, PrusaSlicer."""

import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.domain.events import first_broken
from agent.domain.order import State
from agent.domain.person import shown_code
from agent.domain.question import Question, Step
from agent.operator.answers import Answers
from agent.operator.web.pairing import new_pairing
from agent.ports.ledger import Stale
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import box, write_binary_stl
from agent.wiring import file_store
from tests.operator.web.pictures import photo_of_a_part
from tests.rigs.agent_process import AgentHome, AgentProcess, Desk, wait_until
from tests.rigs.processes import free_port

PERSON = "Ada Example"
PRINTERS = ("left", "middle", "right")
SLOW = "slow"
"""A fourth one, with white filament, that prints no faster than a real one."""
_BY_HAND = frozenset({"photos_taken", "submitted", "label_printed", "packed", "dropped_off", "delivered"})
"""Events of an order that a person's answer is behind, or the marketplace's: each of them once, whatever happened to the phone."""
_OUTSIDE = ("startOrder", "submitOrder", "markDelivered")


class Shop:
    """All that outlives a daemon that is killed. `url`: of the page, also after a restart. `fresh` as AgentHome.start has it."""

    def __init__(self, home: AgentHome, market: SandboxMarketplace, desk: Desk, url: str, *, fresh: bool = False) -> None:
        self.home, self.market, self.desk, self.url, self._fresh = home, market, desk, url, fresh
        self.agent = self._started()
        self.first_code = self._first_code()
        self.answers = Answers(desk.ledger, file_store(home.settings()), PERSON)
        self._part = write_binary_stl(home.folder / "part.stl", box(14, 12, 1))
        self.models: dict[str, Path] = {}
        """Of offers by this name; all others are of one small part."""
        self.photos = [home.folder / "photo-1.jpg", home.folder / "photo-2.jpg"]
        for seed, path in enumerate(self.photos):
            path.write_bytes(photo_of_a_part(seed))

    # --- the daemon ----------------------------------------------------------------------------------------------
    def _started(self) -> AgentProcess:
        return self.home.start("--set", f"web.listen={self.url.removeprefix('http://')}", fresh=self._fresh)

    def _first_code(self) -> str:
        (told,) = wait_until(lambda: self.home.logged("nobody_has_signed_in_yet"), "the code of the first person is told")
        return str(told["pairing_code"])

    def kill(self) -> None:
        self.agent.kill()

    def restart(self) -> None:
        """Returns when somebody listens at the page's address again."""
        self.agent = self._started()
        wait_until(self._listens, "the daemon is up again")

    def _listens(self) -> bool:
        host, _, port = self.url.removeprefix("http://").partition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))):
            return True
        return False

    def peak_rss_mib(self) -> float:
        """The most memory this life of the daemon ever held, by the kernel's own account; without the programs it starts."""
        status = Path(f"/proc/{self.agent.pid}/status").read_text()
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(kilobytes) / 1024

    def code(self, name: str = PERSON) -> str:
        """A pairing code as `intagly-agent pair` makes it."""
        return shown_code(new_pairing(self.desk.ledger, datetime.now(UTC), name=name))

    # --- orders --------------------------------------------------------------------------------------------------
    def printed(self, *names: str, **more: Any) -> list[str]:
        """An order for each name of a model, all at once, on clear beds; their ids when each part is finished on its bed."""
        for printer in PRINTERS:
            self.answers.bed_is_clear(printer)
        offers = [self.offer(name, **more) for name in names]
        return [wait_until(lambda offer=offer: self._on_the_bed(offer), f"{offer} is printed", 120) for offer in offers]

    def _on_the_bed(self, offer_id: str) -> str:
        order_id = self.order_of(offer_id)
        asked = self.asked(order_id, Step.BED) if order_id else None
        return order_id if asked is not None and "print_finished" in self.desk.kinds(order_id) else ""

    def order_of(self, offer_id: str) -> str:
        """Empty until the daemon has seen the offer."""
        return next((order.id for order in self.desk.ledger.orders() if order.dossier.offer.offer_id == offer_id), "")

    def offer(self, name: str, **more: Any) -> str:
        """A part of that name; the offer's id."""
        return self.market.add_offer({"files": [{"path": str(self.models.get(name, self._part)), "name": name}], **more})

    def asked(self, order_id: str, step: Step) -> Question | None:
        """What that order waits for now, of this kind."""
        return next((question for question in self._open(order_id) if question.step is step), None)

    def _open(self, order_id: str) -> list[Question]:
        questions = self.desk.ledger.open_questions()
        return [question for question in questions if question.order_id == order_id and question.answered_at is None]

    def clear_bed_of(self, order_id: str) -> None:
        """Of the one its finished part lies on."""
        asked = self.asked(order_id, Step.BED)
        assert asked is not None
        self.answers.bed_is_clear(asked.printer)

    def lead_to_its_end(self, order_id: str, until: Step | None = None) -> None:
        """Answers all that this order asks for, so that nothing of it waits for the next test, or that what is left to do is this step."""
        wait_until(lambda: self._led(order_id, until), f"{order_id} comes to {until or 'its end'}")

    def _led(self, order_id: str, until: Step | None) -> bool:
        for question in self._open(order_id):
            if question.step is until:
                return True
            with contextlib.suppress(Stale):  # the daemon saw at the same moment that it need not be asked any more
                self._answer(question)
        return self.desk.ledger.order(order_id).ended

    def _answer(self, question: Question) -> None:
        match question.step:
            case Step.BED:
                self.answers.bed_is_clear(question.printer)
            case Step.PHOTOS:
                agreed = [str(sentence["code"]) for sentence in question.data["attestations"]]
                self.answers.photographed(question.order_id, self.photos, agreed)
            case step:
                self.answers.choose(step, question.order_id, "")

    def closed(self, order_id: str) -> None:
        wait_until(lambda: self.desk.ledger.order(order_id).ended, f"{order_id} comes to its end; it is {self.desk.kinds(order_id)}")
        self.check(order_id)

    def check(self, order_id: str) -> None:
        """It came to its good end, and nothing of it was done twice: by the ledger, the printers' own journals and the marketplace's."""
        order, kinds = self.desk.ledger.order(order_id), Counter(self.desk.kinds(order_id))
        assert order.state is State.CLOSED, f"{order.state}: {kinds}"
        assert first_broken(self.desk.ledger.events(order_id)) is None
        assert {kind: kinds[kind] for kind in _BY_HAND} == dict.fromkeys(_BY_HAND, 1)
        journals = [path.read_text() for path in self.home.folder.glob("data/virtual/*/journal.jsonl")]
        for job in self.desk.ledger.jobs(order_id):
            started = [line for text in journals for line in text.splitlines() if '"started"' in line and job.remote_name in line]
            assert len(started) == 1, started
        offer_id = order.dossier.offer.offer_id
        remote = self.market.offer(offer_id)["order_id"]
        assert self.market.times_done("acceptOffer", offer_id) == 1
        assert {act: self.market.times_done(act, remote) for act in _OUTSIDE} == dict.fromkeys(_OUTSIDE, 1)
        assert self.market.order(remote)["state"] == "delivered"


@contextmanager
def open_shop(folder: Path, *, fresh: bool = False) -> Iterator[Shop]:
    with SandboxMarketplace() as market:
        home = AgentHome(folder / "home")
        home.add_marketplace(market.url, market.token, poll_interval_s=0.5)
        home.add("[acceptance]\npackagings = { box-s = { inner_mm = [150, 100, 80], stock = 40 } }\n")
        for name in PRINTERS:
            home.add_virtual(name)
        home.add_virtual(SLOW, speed=1)
        home.recolor(SLOW, "white", "#ffffff")
        with home.desk() as desk:
            shop = Shop(home, market, desk, f"http://127.0.0.1:{free_port()}", fresh=fresh)
            try:
                yield shop
            finally:
                if shop.agent.alive():
                    shop.agent.stop()
