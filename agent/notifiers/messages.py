"""What a message to one person looks like: the notice with its buttons, or several notices in one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from pydantic import SecretStr

from agent.domain.job import JobState
from agent.domain.person import hashed, new_secret
from agent.domain.question import Question, Step
from agent.ports.calls import Calls, KeptButton, KeptNotice, Press
from agent.ports.ledger import Ledger
from agent.ports.notifier import Button, Notice, Urgency

GOOD_FOR = timedelta(hours=12)
"""A button is pressed soon, or on the page."""
PAUSED = "print_paused"
_MOST_LINES = 40
_LONGEST_LABEL = 40
_TITLES = {
    Step.OFFER: "An offer waits for you",
    Step.HOLD: "Order {order} needs you",
    Step.BED: "Clear the bed of {printer}",
    Step.POST_PROCESSING: "Post-processing",
    Step.PHOTOS: "Photos, please",
    Step.LABEL: "Print the label",
    Step.PACKED: "Pack the parcel",
    Step.DROPPED_OFF: "Drop off the parcel",
}


@dataclass(frozen=True)
class Writer:
    """Writes messages. `url`: where people open the page; empty: there are no buttons. `zone` None: the machine's own."""

    ledger: Ledger
    calls: Calls
    url: str
    zone: tzinfo | None = None

    def alone(self, kept: KeptNotice, person: str, now: datetime, *, acts: bool) -> Notice:
        """`acts`: with buttons that do something, made for this person and this message."""
        if not self.url:
            return kept.notice
        offered = self._acts(kept.notice) if acts else []
        buttons = [self._button(kept, person, label, act, about, now) for label, act, about in offered]
        return kept.notice.model_copy(update={"buttons": [*buttons, self._opens(kept.notice)]})

    def together(self, notices: Sequence[KeptNotice]) -> Notice:
        """One message about several, the oldest first."""
        lines = [f"{kept.made_at.astimezone(self.zone):%a %H:%M} {kept.notice.title}" for kept in notices]
        more = [f"… and {len(lines) - _MOST_LINES} more."] if len(lines) > _MOST_LINES else []
        acts = any(kept.notice.urgency is not Urgency.INFO for kept in notices)
        return Notice(
            event="digest",
            title=f"{len(notices)} messages since {notices[0].made_at.astimezone(self.zone):%a %H:%M}",
            text="\n".join([*lines[:_MOST_LINES], *more]),
            urgency=Urgency.ACT if acts else Urgency.INFO,
            buttons=[Button(label="Open the page", url=f"{self.url}/")] if self.url else [],
        )

    def refusal(self, why: str) -> Notice:
        buttons = [Button(label="Open the page", url=f"{self.url}/")] if self.url else []
        return Notice(event="button_refused", title="The button did nothing", text=why, buttons=buttons)

    def question(self, notice: Notice) -> Question | None:
        """The one this tells of, where it still waits for an answer."""
        if notice.step is None:
            return None
        found = self.ledger.question(notice.order_id, notice.step, notice.printer)
        return found if found is not None and found.answered_at is None else None

    def _opens(self, notice: Notice) -> Button:
        page = f"/orders/{notice.order_id}" if notice.order_id and notice.step is not Step.BED else "/"
        return Button(label="Open the page", url=f"{self.url}{page}")

    def _acts(self, notice: Notice) -> list[tuple[str, Press, dict[str, str]]]:
        """Label, act, and what exactly it is about. Nothing that agrees to a sentence, and nothing that stops a print, is among them."""
        later: tuple[str, Press, dict[str, str]] = ("Later", Press.SNOOZE, {})
        question = self.question(notice)
        if question is not None and question.step is Step.OFFER:
            return [
                (_label(does), Press.ANSWER, {"question": str(question.id), "choice": choice})
                for choice, does in list(question.choices.items())[:2]
            ]
        if question is not None and question.step is Step.BED:
            bed = self.ledger.beds().get(question.printer)
            return [("The bed is clear", Press.BED, {"printer": question.printer, "mark": bed.mark if bed else ""}), later]
        if notice.event == PAUSED and (job := self._job(notice)):
            return [("Resume", Press.RESUME, {"printer": notice.printer, "job": job}), later]
        return [later] if notice.urgency is not Urgency.INFO else []

    def _job(self, notice: Notice) -> str:
        """The job of this order that is printed there now."""
        jobs = (job for job in self.ledger.active_jobs() if (job.printer, job.order_id) == (notice.printer, notice.order_id))
        return next((job.remote_name for job in jobs if job.state is JobState.PRINTING), "")

    def _button(self, kept: KeptNotice, person: str, label: str, act: Press, about: dict[str, str], now: datetime) -> Button:
        until = min(now + GOOD_FOR, kept.notice.deadline or now + GOOD_FOR)
        secret = new_secret()
        self.calls.add_button(hashed(secret), KeptButton(notice_id=kept.id, person=person, act=act, subject=about, until=until))
        return Button(label=label, url=f"{self.url}/buttons", secret=SecretStr(secret))


def _label(does: str) -> str:
    """What a choice does, in the question's own words."""
    said = does.partition(",")[0]
    return (said[:1].upper() + said[1:])[:_LONGEST_LABEL]


def asked(question: Question) -> Notice:
    """Of a question whose own notice never came."""
    return Notice(
        event="asked",
        title=_TITLES[question.step].format(order=question.order_id, printer=question.printer),
        text=question.text,
        urgency=Urgency.ALARM if question.step is Step.HOLD else Urgency.ACT,
        order_id=question.order_id,
        printer=question.printer,
        step=question.step,
    )
