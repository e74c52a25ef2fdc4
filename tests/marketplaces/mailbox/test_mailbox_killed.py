"""The agent dies at any step of making an offer or a question of a mail: afterwards there is exactly one of it, and it is whole."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.marketplaces.mailbox.opening import MailModel
from agent.marketplaces.mailbox.post import Letter, Post
from agent.marketplaces.mailbox.reading import read_mail
from agent.marketplaces.mailbox.seen import Done, Outcome, Seen
from agent.marketplaces.mailbox.templates import load_templates
from agent.marketplaces.taken_orders import TakenOrders
from tests.marketplaces.hot_folder.bench import Fate
from tests.marketplaces.mailbox.bench import HOOK, SENDER, TEXT, text

LINES = load_templates(None)[0]
MOST_STEPS = 200


class Life:
    """What one run of the agent does with one mail that came, up to writing down that it was dealt with."""

    def __init__(self, root: Path, body: str) -> None:
        self.root, self.body = root / "post", body
        self.told = 0
        self.mail, self.model = root / "mail.eml", root / "hook.stl"
        self.mail.write_bytes(b"the mail")
        self.model.write_bytes(HOOK)

    async def live(self) -> None:
        post, seen = Post(self.root, 900), Seen(self.root / "seen.json")
        post.open()
        seen.load()
        if seen.begin(1, [7]):
            letter = Letter(7, SENDER, "New offer 1", "<1@x>", datetime.now(UTC), self.mail)
            reading = read_mail(LINES, letter.subject, self.body, letter.received_at)
            models = [MailModel(name="hook.stl", kind=".stl", path=self.model, bytes=len(HOOK), sha256="0" * 64)]
            if reading.order is not None:
                post.take(letter, reading, models, [])
            elif post.ask(letter, reading, models, [])[1]:
                self.told += 1
            seen.done(7, Done(outcome=Outcome.TAKEN))


@pytest.mark.parametrize("body", [TEXT, text(Infill="150 %")], ids=["an offer", "a question"])
async def test_killed_at_any_step_there_is_one_and_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    fate = Fate(monkeypatch)
    for steps in range(1, MOST_STEPS):
        life = Life(tmp_path, body)
        lived = await fate.survives(steps, life.live)
        await life.live()
        taken = TakenOrders(life.root / "taken")
        taken.load()
        folders = [*(life.root / "taken").iterdir(), *(life.root / "questions").iterdir()]
        assert len(folders) == 1, (steps, folders)
        assert (folders[0] / "mail.eml").read_bytes() == b"the mail"
        assert len(taken.open_offers()) == (body == TEXT)
        shutil.rmtree(life.root)
        if lived:
            assert steps > 10
            return
    raise AssertionError("it never came to an end")
