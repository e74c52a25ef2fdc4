"""What is done twice, late, by two people at once, or by those who may not."""

import asyncio

import pytest

from agent.domain.job import JobState
from agent.domain.order import State
from agent.domain.person import Role, Scope
from agent.domain.printer import BedState, PrinterObservation, PrinterState
from agent.domain.question import NewQuestion, Question, Step
from agent.ports.ledger import OrderMove
from tests.operator.web.served import Served, button_on

CHOICES = {"retry": "try this step again", "cancel": "give the order up"}


def hold(served: Served, order_id: str = "", text: str = "What now?") -> Question:
    order = served.ledger.order(order_id or served.offer())
    return served.ledger.ask(order, NewQuestion(step=Step.HOLD, text=text, choices=CHOICES))


def answered_by(served: Served, question: Question) -> str:
    found = served.ledger.question_by_id(question.id)
    assert found is not None
    return found.answered_by


# --- questions ---------------------------------------------------------------------------------------------------
async def test_the_second_of_two_people_is_told_who_was_first_and_with_what(served: Served) -> None:
    question, ada, bob = hold(served), await served.person(), await served.person("Bob Example")
    pressed = button_on(await bob.get("/"), "Yes: give the order up")
    await ada.press("/", "Try this step again")
    told = (await bob.send(pressed, 409)).text
    assert "Ada Example answered this" in told
    assert "“try this step again”" in told
    assert answered_by(served, question) == "Ada Example"


async def test_two_at_the_same_moment(served: Served) -> None:
    question, ada, bob = hold(served), await served.person(), await served.person("Bob Example")
    pressed = [(person, button_on(await person.get("/"), "Try this step again")) for person in (ada, bob)]
    answers = await asyncio.gather(*(person.client.post(form.action, data=fields) for person, (form, fields) in pressed))
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    assert answered_by(served, question) in ("Ada Example", "Bob Example")
    assert [event.kind for event in served.ledger.events(question.order_id)].count("answered") == 1


async def test_a_form_that_is_sent_again_answers_no_later_question(served: Served) -> None:
    """The same was asked anew since then. The phone that repeats a request must not answer it."""
    first, ada = hold(served), await served.person()
    pressed = button_on(await ada.get("/"), "Try this step again")
    await ada.send(pressed)
    asked = served.ledger.question(first.order_id, Step.HOLD)
    assert asked is not None
    served.ledger.settle_question(asked)
    second = hold(served, first.order_id, "And now?")
    assert "answered this" in (await ada.send(pressed, 409)).text
    assert answered_by(served, second) == ""


async def test_a_question_that_was_taken_back_is_not_asked_any_more(served: Served) -> None:
    question, ada = hold(served), await served.person()
    pressed = button_on(await ada.get("/"), "Try this step again")
    served.ledger.settle_question(question)
    assert "not asked any more" in (await ada.send(pressed, 409)).text


async def test_a_question_that_never_was(served: Served) -> None:
    ada = await served.person()
    token = dict(button_on(await ada.get("/people"), "Make a code")[0].fields)["form"]
    for question_id, status in {"0": 422, "999": 404, "-1": 422, "9" * 30: 422, "x": 422}.items():
        answer = await ada.client.post(f"/questions/{question_id}", data={"form": token, "choice": "x"})
        assert answer.status_code == status, question_id


async def test_who_only_looks_sees_and_does_nothing(served: Served) -> None:
    question, bob = hold(served), await served.person("Bob Example", Role.VIEWER)
    page = await bob.get("/")
    assert "What now?" in page
    assert "Try this step again" not in page
    token = dict(button_on(await bob.get("/people"), "Make a code")[0].fields)["form"]
    for path in (f"/questions/{question.id}", "/printers/mk3s/bed", "/printers/mk3s/pause"):
        answer = await bob.client.post(path, data={"form": token, "choice": "retry", "bed_mark": "", "job": "x"})
        assert answer.status_code == 403
    assert answered_by(served, question) == ""
    assert served.ledger.beds() == {}


# --- beds --------------------------------------------------------------------------------------------------------
async def test_a_bed_is_only_clear_as_it_was_shown(served: Served) -> None:
    """The word of an hour ago, repeated by a phone that found its network again, is not about the part that lies there now."""
    ada = await served.person()
    pressed = button_on(await ada.get("/printers"), "The bed of mk3s is clear")
    await ada.send(pressed)
    order = served.ledger.move(served.ledger.order(served.offer()), OrderMove(to=State.PRINTING, event="print_begun"))
    job = served.ledger.claim(order.id, 1, "mk3s", "a" * 64)
    assert job is not None
    job, _ = served.ledger.open_start(job)
    served.ledger.move_job(job, JobState.FINISHED, "print_finished", {})
    assert "has changed since that was shown" in (await ada.send(pressed, 409)).text
    assert served.ledger.beds()["mk3s"].state is BedState.OCCUPIED
    await ada.press("/printers", "The bed of mk3s is clear")
    assert served.ledger.beds()["mk3s"].state is BedState.FREE


# --- printers ----------------------------------------------------------------------------------------------------
async def printing(served: Served) -> str:
    """A job of ours at work on mk3s."""
    served.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    order_id = served.offer()
    await served.shop.settle()
    (job,) = served.ledger.jobs(order_id)
    assert job.state is JobState.PRINTING
    return job.remote_name


async def test_a_print_of_ours_is_cancelled_with_confirmation_and_under_a_name(served: Served) -> None:
    name, ada = await printing(served), await served.person()
    await ada.press("/printers", f"Yes, cancel {name}")
    assert served.shop.outside.printer.state is PrinterState.CANCELLED
    (order,) = served.ledger.orders()
    (said,) = [event.data for event in served.ledger.events(order.id) if event.kind == "asked_to_cancel"]
    assert said == {"printer": "mk3s", "job": name, "by": "Ada Example"}
    await served.shop.settle()
    assert served.ledger.order(order.id).state is State.ON_HOLD


async def test_another_job_than_the_one_that_was_shown_is_left_alone(served: Served) -> None:
    name, ada = await printing(served), await served.person()
    pressed = button_on(await ada.get("/printers"), "Yes, cancel")
    await ada.send(pressed, 409, job="somebody-elses.gcode")
    assert served.shop.outside.printer.state is PrinterState.PRINTING
    served.shop.outside.printer.finish()
    await served.shop.settle()
    await ada.press("/", "The bed of mk3s is clear")
    await served.shop.settle()
    assert name in pressed[1]["job"]
    await ada.send(pressed, 409)


async def test_a_print_of_somebody_else_has_no_buttons(served: Served) -> None:
    served.shop.outside.printer.current, served.shop.outside.printer.state = "theirs.gcode", PrinterState.PRINTING
    page = await (await served.person()).get("/printers")
    assert "printing" in page
    assert "Yes, cancel" not in page


async def test_a_paused_print_waits_for_hands(served: Served) -> None:
    await printing(served)
    served.shop.outside.printer.state = PrinterState.PAUSED
    ada = await served.person()
    assert "mk3s is paused" in await ada.get("/")
    assert button_on(await ada.get("/printers"), "Resume")[0].action == "/printers/mk3s/resume"


async def test_a_printer_that_hangs_keeps_no_page_waiting(served: Served) -> None:
    async def hangs() -> PrinterObservation:
        await asyncio.Event().wait()
        raise AssertionError

    served.shop.printer.observe = hangs  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        assert "It has not been looked at yet." in await (await served.person()).get("/printers")


# --- scripts -----------------------------------------------------------------------------------------------------
async def test_a_script_answers_under_its_own_name(served: Served) -> None:
    question, script = hold(served), await served.api(Scope.READ, Scope.ANSWER)
    (task,) = (await script.get("/now")).json()["tasks"]
    assert (task["step"], task["question_id"], task["text"]) == ("hold", question.id, "What now?")
    answer = await script.post(f"/questions/{task['question_id']}/answer", json={"choice": "retry"})
    assert answer.json() == {"done": True}
    assert answered_by(served, question).startswith("API token script-")
    again = await script.post(f"/questions/{question.id}/answer", json={"choice": "cancel"})
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    assert again.json()["code"] == "answered_already"
    assert again.json()["hint"]


async def test_a_script_says_that_a_bed_is_clear_as_it_was_told_of_it(served: Served) -> None:
    script = await served.api(Scope.READ, Scope.ANSWER)
    (printer,) = (await script.get("/printers")).json()["printers"]
    assert (await script.post("/printers/mk3s/bed", json={})).status_code == 422
    assert (await script.post("/printers/mk3s/bed", json={"bed_mark": "2026-01-01"})).status_code == 409
    assert (await script.post("/printers/mk3s/bed", json={"bed_mark": printer["bed_mark"]})).status_code == 200
    assert (await script.post("/printers/mk3s/bed", json={"bed_mark": printer["bed_mark"]})).status_code == 409
    assert (await script.post("/printers/nope/bed", json={"bed_mark": ""})).json()["code"] == "no_such_printer"


@pytest.mark.parametrize("scope", [None, *Scope])
async def test_a_token_does_what_its_scope_says_and_nothing_else(served: Served, scope: Scope | None) -> None:
    question = hold(served)
    script = await served.api(*([scope] if scope else []))
    needs = {
        Scope.READ: [
            ("GET", "/now"),
            ("GET", "/orders"),
            ("GET", f"/orders/{question.order_id}"),
            ("GET", "/offers"),
            ("GET", "/printers"),
        ],
        Scope.ANSWER: [("POST", f"/questions/{question.id}/answer"), ("POST", "/printers/mk3s/bed")],
        Scope.CONTROL: [("POST", "/printers/mk3s/control")],
    }
    for needed, ways in needs.items():
        for method, path in ways:
            body = {"choice": "retry", "bed_mark": "", "act": "pause", "job": "x"} if method == "POST" else None
            answer = await script.request(method, path, json=body)
            assert (answer.status_code == 403) == (scope is not needed), f"{scope} {path}: {answer.text}"


async def test_no_token_no_api_and_a_token_opens_no_page(served: Served) -> None:
    await served.person()
    script = await served.api(*Scope)
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic eDp4"}, {"authorization": "Bearer"}):
        answer = await (await served.browser()).client.get("/api/v1/now", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    page = await script.get(f"{served.url}/", headers={"accept": "text/html"})
    assert page.headers["location"] == "/sign-in"
    (token,) = served.ledger.tokens()
    served.ledger.revoke_token(token.name)
    assert (await script.get("/now")).status_code == 401
