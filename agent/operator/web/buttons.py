"""Buttons in messages: `POST /buttons` with the button's secret as the body, and nothing else.

No session and no cookie: the secret is the right, for this one act of this one person, for hours at most, once. What it does goes the way
the page's own buttons go, so that pressed late, twice, or after somebody else answered it does nothing and says so. No button agrees to a
sentence, and none stops a print.
"""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from agent.domain.errors import AgentError, Refused
from agent.domain.person import hashed
from agent.domain.question import Step
from agent.operator import acts
from agent.operator.desk import Desk
from agent.operator.looks import PrinterLooks
from agent.operator.web.limits import RateLimit
from agent.operator.web.problems import as_json
from agent.ports.calls import Buttons, KeptButton, Press

PATH = "/buttons"
LARGEST = 256
"""Bytes of a body: a secret has 43."""
_TRIES, _WITHIN_S = 20, 60.0
_OPEN_PAGE = "Open the page to see how things stand. Nothing was done by this."
# A page of an ntfy server's own may press as well; there is no cookie that it could borrow.
_FOR_BROWSERS = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}


def routes(desk: Desk, looks: PrinterLooks) -> APIRouter:
    router, limit = APIRouter(include_in_schema=False), RateLimit(_TRIES, _WITHIN_S)

    @router.post(PATH)
    async def pressed(request: Request) -> Response:
        try:
            if not limit.allows(request.client.host if request.client else ""):
                raise Refused("Too many buttons were pressed.", hint="Wait a minute, or open the page.", code="too_many")
            secret = (await request.body()).decode("ascii", "replace").strip()
            said = await press(desk, looks, hashed(secret))
        except AgentError as error:
            answer = as_json(error)
        else:
            answer = PlainTextResponse(said)
        answer.headers.update(_FOR_BROWSERS)
        return answer

    return router


async def press(desk: Desk, looks: PrinterLooks, secret_sha256: str) -> str:
    """What was done, in words. AgentError, with who was first where somebody was: nothing was done."""
    buttons = desk.buttons
    button = buttons.button(secret_sha256) if buttons is not None else None
    if buttons is None or button is None:
        raise Refused("This button is not known here any more.", hint=_OPEN_PAGE, code="no_such_button")
    try:
        return await _do(desk, looks, buttons, button, secret_sha256)
    except AgentError as error:
        buttons.refused(button, error.told())
        raise


async def _do(desk: Desk, looks: PrinterLooks, buttons: Buttons, button: KeptButton, secret_sha256: str) -> str:
    _require_fresh(button, desk)
    by = f"button in a notification for {button.person}"
    match button.act:
        case Press.ANSWER:
            said = _answer(desk, by, button)
            buttons.press(secret_sha256)
        case Press.BED:
            acts.clear_bed(desk, by, button.subject["printer"], button.subject["mark"])
            said = f"The bed of {button.subject['printer']} is clear."
            buttons.press(secret_sha256)
        case Press.RESUME:
            _spend(buttons, secret_sha256)
            await acts.control(desk, looks, by, button.subject["printer"], "resume", button.subject["job"])
            said = f"{button.subject['printer']} was asked to go on."
        case Press.SNOOZE:
            _spend(buttons, secret_sha256)
            said = f"You are called again at {buttons.snooze(button).astimezone():%H:%M}, if it still waits."
    return said


def _answer(desk: Desk, by: str, button: KeptButton) -> str:
    """To an offer, and to nothing else: no other question may be answered by whoever reads a message."""
    question = desk.ledger.question_by_id(int(button.subject["question"]))
    if question is None or question.step is not Step.OFFER:
        raise Refused("No button answers this.", hint=_OPEN_PAGE, code="no_such_question")
    choice = button.subject["choice"]
    acts.answer(desk, by, question.id, choice)
    return f"Order {question.order_id}: {question.choices[choice]}."


def _require_fresh(button: KeptButton, desk: Desk) -> None:
    """Before the act. Where two press at once, the ledger's own compare and swap, or `_spend`, decides."""
    if button.pressed_at is not None:
        when = f"{button.pressed_at.astimezone():%d %b %H:%M:%S}"
        raise Refused(f"This button was pressed already, on {when}.", hint=_OPEN_PAGE, code="button_spent")
    if button.until <= desk.now():
        raise Refused("This button is too old.", hint=_OPEN_PAGE, code="button_too_old")


def _spend(buttons: Buttons, secret_sha256: str) -> None:
    """Before what cannot be told from having been done twice."""
    if not buttons.press(secret_sha256):
        raise Refused("This button was pressed already.", hint=_OPEN_PAGE, code="button_spent")
