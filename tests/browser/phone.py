"""What a person does with the page, in the words they see on it."""

import base64
from collections.abc import Sequence

from playwright.sync_api import FilePayload, Locator, Page, Response, expect

from agent.domain.question import Step
from tests.browser.chromium import PATIENCE_MS
from tests.operator.web.pictures import photo_of_a_part

_TITLES = {
    Step.POST_PROCESSING: "Post-process 1 × {part}",
    Step.PHOTOS: "Photograph 1 × {part}",
    Step.LABEL: "Print the label of 1 × {part}",
    Step.PACKED: "Pack 1 × {part}",
    Step.DROPPED_OFF: "Drop off 1 × {part}",
}
AFTER_PRINTING = tuple(_TITLES)
"""In the order in which they are asked."""
_TAKE_FRAME = """async () => {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 } });
  const film = Object.assign(document.createElement("video"), { srcObject: stream, muted: true });
  await film.play();
  const frame = Object.assign(document.createElement("canvas"), { width: film.videoWidth, height: film.videoHeight });
  frame.getContext("2d").drawImage(film, 0, 0);
  for (const track of stream.getTracks()) track.stop();
  return frame.toDataURL("image/jpeg", 0.9).split(",")[1];
}"""


def title_of(step: Step, part: str) -> str:
    """Of the card that asks for it."""
    return _TITLES[step].format(part=part)


def photos(seed: int, count: int = 2) -> list[FilePayload]:
    """Pictures in which a part can be told, each another."""
    seeds = range(seed * 10, seed * 10 + count)
    return [{"name": f"IMG_{one:04}.jpg", "mimeType": "image/jpeg", "buffer": photo_of_a_part(one)} for one in seeds]


class Phone:
    """One page that is open on one device."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url

    def open(self, path: str = "/") -> Response | None:
        return self.page.goto(self.url + path, wait_until="domcontentloaded")

    def sign_in(self, code: str, name: str = "") -> None:
        self.open("/sign-in")
        self.page.get_by_label("Pairing code").fill(code)
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", name="Now", exact=True)).to_be_visible()

    def card(self, title: str) -> Locator:
        return self.page.get_by_role("article", name=title, exact=True)

    def button(self, title: str) -> Locator:
        """The first of a card: what is to be done."""
        return self.card(title).get_by_role("button").first

    def waits_for(self, title: str) -> None:
        """Until it is shown, by whatever the page does by itself."""
        expect(self.card(title)).to_be_visible(timeout=PATIENCE_MS)

    def is_done(self, title: str) -> None:
        expect(self.page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
        expect(self.card(title)).to_have_count(0, timeout=PATIENCE_MS)

    def camera_frame(self) -> FilePayload:
        """What this device's camera sees now, as its camera program would hand it over."""
        return {"name": "camera.jpg", "mimeType": "image/jpeg", "buffer": base64.b64decode(self.page.evaluate(_TAKE_FRAME))}

    def take(self, pictures: Sequence[FilePayload]) -> None:
        """What the camera hands to the page that asks for photos."""
        self.page.get_by_label("Take photos of").first.set_input_files(pictures)

    @property
    def photos_here(self) -> Locator:
        """One for each that the agent has and has looked at."""
        return self.page.get_by_role("button", name="Remove photo")

    def fill_in_photos(self, title: str, pictures: Sequence[FilePayload], *, live: bool = True) -> Locator:
        """From the card to the form, filled in; its button, which was not pressed. What the agent has already is not taken again.

        `live`: they are sent at once, and handed in when they are there; else the form sends them.
        """
        self.card(title).get_by_role("link", name="Photos and agreement").click()
        expect(self.page.get_by_role("button", name="Hand in")).to_be_visible()
        here = self.photos_here.count()
        if here < len(pictures):
            self.take(pictures[here:])
        if live:
            expect(self.photos_here).to_have_count(len(pictures), timeout=PATIENCE_MS)
        for sentence in self.page.locator("fieldset").get_by_role("checkbox").all():
            sentence.check()
        self.page.get_by_label("Hand them in as they are").check()
        return self.page.get_by_role("button", name="Hand in")
