"""The agent never agrees by itself. To a sentence of the marketplace's only a person says yes: signed in as operator, or by `confirm`."""

import ast
import contextlib
import hashlib
import itertools
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from PIL.ExifTags import IFD

from agent.domain.order import State
from agent.domain.person import Role, Scope
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Question, Step
from tests.operator.web.pictures import photo_of_a_part
from tests.operator.web.routes import every_route
from tests.operator.web.served import NO_TLS, Served, button_on
from tests.workflow.workshop import Outside, Workshop, make_offer

JPEG = photo_of_a_part()
AGENT = Path(__file__).parents[3] / "agent"
SENTENCE = "I have looked, and there are no visible flaws <b>& no white residue</b>."
MAY_CALL = {"commands/confirm.py", "operator/web/photographing.py", "sandbox/person.py"}
"""The command, the form of a signed-in operator, and the sandbox's person, who plays one under a name that says so."""


def asked(served: Served) -> Question:
    order = served.ledger.order(served.offer())
    data = {"attestations": [{"code": "no_flaws", "text": SENTENCE}]}
    return served.ledger.ask(order, NewQuestion(step=Step.PHOTOS, text="Ready for photos.", data=data))


def agreed(served: Served, question: Question) -> bool:
    found = served.ledger.question_by_id(question.id)
    assert found is not None
    return found.answered_at is not None


async def test_a_person_agrees_to_the_very_text_they_were_shown(served: Served) -> None:
    question, ada = asked(served), await served.person("Ada Example")
    page = await ada.get(f"/orders/{question.order_id}/photos")
    assert "I have looked, and there are no visible flaws &lt;b&gt;&amp; no white residue&lt;/b&gt;." in page
    assert "as Ada Example" in page
    await ada.photograph(question.order_id, [JPEG], [], 422)
    assert not agreed(served, question)
    await ada.photograph(question.order_id, [], ["no_flaws"], customer_note="Enjoy it")
    found = served.ledger.question_by_id(question.id)
    assert found is not None
    (agreement,) = found.answer["agreements"]
    assert agreement["agreed_by"] == found.answered_by == "Ada Example"
    assert agreement["text_sha256"] == hashlib.sha256(SENTENCE.encode()).hexdigest()
    assert list(found.answer["photos"]) == ["photo-1"]
    assert found.answer["customer_note"] == "Enjoy it"


async def test_who_only_looks_cannot_agree(served: Served) -> None:
    question, bob, ada = asked(served), await served.person("Bob Example", Role.VIEWER), await served.person("Ada Example")
    await bob.get(f"/orders/{question.order_id}/photos", 403)
    form, fields = button_on(await ada.get(f"/orders/{question.order_id}/photos"), "Hand in")
    form_of_bob = dict(button_on(await bob.get("/people"), "Make a code")[0].fields)["form"]
    for given in (fields["form"], form_of_bob):
        data = {**fields, "form": given, "agree": "no_flaws"}
        answer = await bob.client.post(form.action, data=data, files={"photo": ("a.jpg", JPEG, "image/jpeg")})
        assert answer.status_code == 403
    assert not agreed(served, question)


async def test_no_way_in_but_the_operators_form_agrees(served: Served) -> None:
    """Every route the application has, with everything an agreement is made of, by everybody who is no signed-in operator."""
    question = asked(served)
    bob = await served.person("Bob Example", Role.VIEWER)
    token = served.token(*Scope)
    body = {
        "choice": "no_flaws",
        "agree": ["no_flaws"],
        "agreements": [{"code": "no_flaws"}],
        "question": question.id,
        "photos": {"photo-1": "a" * 64},
    }
    sent: list[dict[str, Any]] = [
        {"json": body},
        {"data": {**body, "agreements": "no_flaws", "photos": "x"}, "files": {"photo": ("a.jpg", JPEG)}},
    ]
    ways = 0
    for headers, cookies in ((token, {}), ({}, {}), ({}, dict(bob.client.cookies)), (token, dict(bob.client.cookies))):
        async with httpx.AsyncClient(base_url=served.url, headers=headers, cookies=cookies, verify=NO_TLS) as client:
            for (method, path), content in itertools.product(_routes(question), sent):
                with contextlib.suppress(httpx.NetworkError):  # more than is read there: the connection is ended
                    await client.request(method, path, **content)
                ways += 1
                assert not agreed(served, question), f"{method} {path}"
    assert ways == 8 * len(_routes(question)) >= 8 * 10


def _routes(question: Question) -> list[tuple[str, str]]:
    """All that change something, with this question's order wherever a route takes one."""
    filled = defaultdict(
        lambda: "x", question_id=str(question.id), order_id=question.order_id, printer="mk3s", act="pause", sha256="a" * 64
    )
    return [(method, route.path.format_map(filled)) for route in every_route() for method in route.methods - {"GET", "HEAD"}]


def _calls(tree: ast.AST, name: str) -> bool:
    return any(
        isinstance(node, ast.Call) and name in (getattr(node.func, "attr", ""), getattr(node.func, "id", "")) for node in ast.walk(tree)
    ) or any(isinstance(node, ast.Attribute) and node.attr == name for node in ast.walk(tree))


def test_nothing_else_in_the_program_can() -> None:
    """An agreement is made in one place; its callers are known by name, and none of them is the workflow's."""
    made, called = set(), set()
    for path in AGENT.rglob("*.py"):
        text, name = path.read_text(), path.relative_to(AGENT).as_posix()
        if "Agreement" not in text and "photographed" not in text:
            continue
        tree = ast.parse(text)
        if _calls(tree, "Agreement"):
            made.add(name)
        if _calls(tree, "photographed"):
            called.add(name)
    assert made - {"workflow/submission.py"} == {"operator/answers.py"}
    assert called == MAY_CALL
    submission = ast.parse((AGENT / "workflow" / "submission.py").read_text())
    constructed = [node for node in ast.walk(submission) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Agreement"]
    assert constructed == [], "the workflow only reads what a person said"


MAY_ANSWER = {
    "commands/confirm.py",
    "operator/acts.py",
    "operator/web/photographing.py",
    "operator/web/rejections.py",
    "sandbox/person.py",
}
"""Who speaks for somebody at all: the command, what a visitor or a token did, and the sandbox's person."""


def test_every_answer_comes_in_by_one_door_and_who_opens_it_is_known() -> None:
    """An agreement is part of an answer. The ledger takes answers from `Answers` alone, and what is handed in is what an answer said."""
    speaks, answers, hands_in = set(), set(), set()
    for path in AGENT.rglob("*.py"):
        name, text = path.relative_to(AGENT).as_posix(), path.read_text()
        if not any(word in text for word in ("Answers(", "ledger.answer", '"said"')):
            continue  # nothing to be found in it, and reading all of the program's trees takes seconds
        tree = ast.parse(text)
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        speaks |= {name for call in calls if getattr(call, "id", "") == "Answers"}
        answers |= {name for call in calls if isinstance(call, ast.Attribute) and call.attr == "answer" and _is_ledger(call.value)}
        keys = [key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys]
        hands_in |= {name for key in keys if isinstance(key, ast.Constant) and key.value == "said"}
    assert speaks == MAY_ANSWER
    assert answers == {"operator/answers.py"}
    assert {name for name in hands_in if name.startswith("workflow/")} == {"workflow/submission.py"}


def _is_ledger(node: ast.expr) -> bool:
    return "ledger" in ast.unparse(node).rpartition(".")[2]


async def test_left_alone_for_weeks_through_restarts_nothing_is_handed_in(tmp_path: Path) -> None:
    outside, days = Outside(tmp_path), iter(range(0, 60, 10))
    for day in days:
        with Workshop(outside, now=lambda day=day: datetime.now(UTC) + timedelta(days=day)) as shop:  # type: ignore[misc]
            if not shop.ledger.orders():
                outside.market.add(make_offer())
                shop.receive()
                shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
                await shop.settle()
                outside.printer.finish()
                await shop.settle()
                shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
            shop.ledger.wake(list(State))
            await shop.settle()
            (order,) = shop.ledger.orders()
            assert (order.state, order.dossier.said) == (State.PHOTOS, {})
    assert outside.market.acts == ["accept f1"]


# --- photos ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("photo", [b"", b"<svg/>", b"%PDF-1.4", JPEG[:500]], ids=["none", "svg", "pdf", "half"])
async def test_what_is_no_photo_is_refused_and_leaves_nothing_behind(served: Served, photo: bytes) -> None:
    question, ada = asked(served), await served.person()
    answer = await ada.photograph(question.order_id, [JPEG, photo] if photo else [], ["no_flaws"], 422)
    assert ("Photo 2:" if photo else "At least one photo is needed") in answer.text
    assert str(served.shop.outside.folder) not in answer.text
    assert not agreed(served, question)
    assert not list((served.shop.outside.folder / "files" / "incoming").iterdir())


async def test_a_photo_that_could_be_better_is_taken_when_a_person_says_that_it_will_do(served: Served) -> None:
    question, ada = asked(served), await served.person()
    twice = [JPEG, JPEG]
    assert "Photo 2: It is nearly the same as photo 1" in (await ada.photograph(question.order_id, twice, ["no_flaws"], 422)).text
    assert not agreed(served, question)
    await ada.photograph(question.order_id, twice, ["no_flaws"], as_they_are="yes")
    assert agreed(served, question)


async def test_no_more_photos_than_are_read(served: Served) -> None:
    question, ada = asked(served), await served.person()
    await ada.photograph(question.order_id, [JPEG] * 31, ["no_flaws"], 400)
    assert not agreed(served, question)


async def test_where_a_photo_was_taken_stays_here(served: Served) -> None:
    question, ada = asked(served), await served.person()
    exif = Image.Exif()
    exif.get_ifd(IFD.GPSInfo)[1] = "N"
    await ada.photograph(question.order_id, [photo_of_a_part(exif=exif)], ["no_flaws"])
    found = served.ledger.question_by_id(question.id)
    assert found is not None
    (sha256,) = found.answer["photos"].values()
    with Image.open(served.shop.store.path(sha256)) as kept:
        assert len(kept.getexif()) == 0
