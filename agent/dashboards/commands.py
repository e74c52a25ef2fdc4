"""Commands that come over MQTT. Whoever may publish on the broker gives them, so each does one small thing to what was shown.

Nothing here agrees to a sentence or takes photos: that is a person's, on the page. A command names what it means (`ACCEPT o2ab3cd4e`), or
means the one thing that has been shown for a while: a late tap accepts no other offer and frees no other bed.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.dashboards.shown import Shown
from agent.dashboards.topics import Topics
from agent.domain.errors import Refused
from agent.domain.question import Question, Step
from agent.ports.ledger import Ledger
from agent.ports.marketplace import Marketplace
from agent.ports.remote import Acts, Switches

OFFERS = "offers"
OFFER_SHOWN_S = 10.0
"""A plain ACCEPT or DECLINE means the one offer that has been the only one for this long."""
PRINTER_SHOWN_S = 3.0
LONGEST_BYTES = 200
LONGEST_MESSAGE_BYTES = 2000
_CONTROLS = {"PAUSE": "pause", "RESUME": "resume", "CANCEL": "cancel"}


def job_of(printer: str) -> str:
    """What `Shown` knows the printer's job by."""
    return f"job {printer}"


def bed_of(printer: str) -> str:
    return f"bed {printer}"


@dataclass(frozen=True)
class Commands:
    """Does what it is told, or raises AgentError with the reason; then nothing was done."""

    topics: Topics
    ledger: Ledger
    marketplaces: Mapping[str, Marketplace]
    acts: Acts
    switches: Switches
    shown: Shown

    async def obey(self, topic: str, payload: bytes) -> None:
        printer = self.topics.printer_in(topic)
        if printer is not None:
            await self._printer(printer, *_words(payload))
            return
        about = topic.removeprefix(self.topics.command(""))
        does: dict[str, Callable[[bytes], Awaitable[None]]] = {
            "offer": self._offer,
            "online": self._online,
            "auto_accept": self._auto_accept,
            "notify": self._notify,
            "update": self._update,
        }
        if about not in does:
            raise Refused(f"There are no commands about “{about[:40]}”.", hint=f"There are: {', '.join(does)}.", code="no_such_command")
        await does[about](payload)

    # --- offers -----------------------------------------------------------------------------------------------------

    async def _offer(self, payload: bytes) -> None:
        verb, order_id = _words(payload)
        if verb not in ("ACCEPT", "DECLINE"):
            raise _unknown(verb, "ACCEPT or DECLINE, and after it the order it is meant for")
        question = self._meant(order_id)
        marketplace = self.ledger.order(question.order_id).marketplace
        market = self.marketplaces.get(marketplace)
        if market is None or market.answered_by_person:
            hint = "Answer there, then say on the page, or with `intagly-agent confirm offer`, what you answered."
            raise Refused(f"{marketplace} takes only your own answer.", hint=hint, code="answered_by_person")
        self.acts.answer(question.id, verb.lower())

    def _meant(self, order_id: str) -> Question:
        """The one about that order, or about the only offer that has been shown."""
        if not order_id:
            waiting = self.ledger.overview().waits.get(Step.OFFER, 0)
            shown: Sequence[str] = self.shown.for_long(OFFERS, OFFER_SHOWN_S) or ()
            if len(shown) != 1 or waiting != 1:
                hint = "Say which: ACCEPT and the order." if waiting else "Nothing was done."
                raise Refused(f"{waiting or 'No'} offers wait for an answer.", hint=hint, code="which_offer")
            order_id = shown[0]
        question = self.ledger.question(order_id, Step.OFFER)
        if question is None or question.answered_at is not None:
            raise Refused(f"{order_id[:40]} does not wait for an answer.", hint="Nothing was done.", code="not_asked")
        return question

    # --- the agent --------------------------------------------------------------------------------------------------

    async def _online(self, payload: bytes) -> None:
        await self.switches.set_online(_on(payload))

    async def _auto_accept(self, payload: bytes) -> None:
        on = _on(payload)
        if self.switches.auto_accept is None:
            hint = 'Only with [acceptance] mode = "auto" there is something to switch.'
            raise Refused("The agent is configured not to answer offers by itself.", hint=hint, code="not_automatic")
        self.switches.set_auto_accept(on)

    async def _notify(self, payload: bytes) -> None:
        text = _text(payload, LONGEST_MESSAGE_BYTES)
        if not text:
            raise Refused("There is no message in it.", code="empty")
        await self.acts.tell(text)

    async def _update(self, _payload: bytes) -> None:
        hint = "Install it as docs/getting-started.md tells, and restart the service: prints go on meanwhile."
        raise Refused("The agent does not update itself.", hint=hint, code="no_update")

    # --- printers ---------------------------------------------------------------------------------------------------

    async def _printer(self, printer: str, verb: str, meant: str) -> None:
        if verb == "BED_CLEARED" and not meant:
            self._bed_cleared(printer)
        elif verb in _CONTROLS:
            job = meant or self.shown.for_long(job_of(printer), PRINTER_SHOWN_S)
            if not job:
                raise Refused(f"{printer} prints nothing of the agent's.", hint="Nothing was done.", code="not_that_job")
            await self.acts.control(printer, _CONTROLS[verb], job)
        else:
            raise _unknown(verb, f"{', '.join(_CONTROLS)} or BED_CLEARED")

    def _bed_cleared(self, printer: str) -> None:
        """Of the bed as it was shown."""
        mark = self.shown.for_long(bed_of(printer), PRINTER_SHOWN_S)
        if mark is None:
            raise Refused(f"The bed of {printer} has not been shown yet.", hint="Say it again in a moment.", code="just_changed")
        self.acts.clear_bed(printer, mark)


def _words(payload: bytes) -> tuple[str, str]:
    """A verb, and what it is meant for; that may be empty."""
    verb, *meant = _text(payload, LONGEST_BYTES).split()
    if len(meant) > 1:
        raise Refused("There are too many words in it.", hint="A verb, and one name after it.", code="garbage")
    return verb, "".join(meant)


def _on(payload: bytes) -> bool:
    text = _text(payload, LONGEST_BYTES)
    if text not in ("ON", "OFF"):
        raise _unknown(text, "ON or OFF")
    return text == "ON"


def _text(payload: bytes, longest: int) -> str:
    """Refused where it is longer, no text, or holds what no text has."""
    if len(payload) > longest:
        raise Refused(f"It has {len(payload)} bytes; at most {longest} are read.", code="too_large")
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError:
        raise Refused("It is no text in UTF-8.", code="garbage") from None
    if not text or not text.isprintable():
        raise Refused("It is no line of text.", code="garbage")
    return text


def _unknown(verb: str, known: str) -> Refused:
    return Refused(f"“{verb[:40]}” is no command.", hint=f"It takes {known}.", code="no_such_command")
