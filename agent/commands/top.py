"""`top`: the shop at a glance, live in a terminal."""

import json
import os
import re
import select
import signal
import sys
import termios
import time
import tty
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.commands import top_lines, top_view
from agent.commands.options import ConfigSource, config_option, json_option, say_json
from agent.config.model import Settings
from agent.domain.errors import AgentError, Refused
from agent.ledger.sql_ledger import SqlLedger
from agent.wiring import ledger_url, utc_now, web_access

_LIVE_S = 5.0
_PATIENCE_S = 2.0
_KEYS = {b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down"}
_KEYS |= {
    b"\r": "open",
    b"\n": "open",
    b"\x1b": "back",
    b"\x7f": "back",
    b"\x1b[D": "back",
    b"q": "quit",
    b"Q": "quit",
    b"\x03": "quit",
    b"\x04": "quit",
}

_ONE_KEY = re.compile(rb"\x1b[\[O][A-Z]|.", re.DOTALL)
"""Several may be typed between two looks."""


@click.command()
@config_option
@json_option
@click.option("--once", is_flag=True, help="One screen as text, and nothing more: for scripts, and where there is no terminal.")
@click.option("--every", "every_s", type=click.FloatRange(0.2, 3600), default=1.0, show_default=True, help="Seconds between two looks.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="An API token with the scope read: printers are then shown as they say themselves, and not by the slicer's time.",
)
def top(config: ConfigSource, as_json: bool, once: bool, every_s: float, token_file: Path | None) -> None:
    """The printers, what waits for you with its deadline, offers with the time left, and the last events, live. Only the ledger is read.

    Keys: q quits, the arrows choose an order, Enter shows its story, Esc goes back.
    """
    settings = config.settings(needs_secrets=False)
    with SqlLedger(ledger_url(settings)) as ledger:
        watch = _Watch(settings, ledger, _token(token_file))
        if as_json:
            say_json(watch.look().as_json())
        elif once or not (sys.stdout.isatty() and sys.stdin.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
            console = Console(highlight=False)
            height = console.height if sys.stdout.isatty() else top_view.MOST_ROWS
            console.print(*top_lines.screen(watch.look(), utc_now(), console.width, height), sep="\n", soft_wrap=True)
        else:
            _Terminal(watch, every_s).run()


def _token(file: Path | None) -> str:
    try:
        return file.read_text(encoding="ascii").strip() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file} cannot be read as a token.", hint="It holds what `people token` showed, and nothing else.") from error


@dataclass
class _Watch:
    """Reads the ledger anew only where something has happened."""

    settings: Settings
    ledger: SqlLedger
    token: str
    known: top_view.View | None = None
    live: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    live_at: float = float("-inf")

    def look(self) -> top_view.View:
        asked = self._ask_page()
        if self.known is None or asked or self.ledger.mark() != self.known.mark:
            printers = [printer.name for printer in self.settings.printers]
            self.known = top_view.read(self.ledger, self.settings.agent.name, printers, self.live)
        return self.known

    def _ask_page(self) -> bool:
        if not self.token or not self.settings.web.listen or time.monotonic() - self.live_at < _LIVE_S:
            return False
        self.live_at = time.monotonic()
        url = f"{web_access(self.settings).opened_at()}/api/v1/printers"
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
                self.live = {printer["name"]: printer for printer in json.load(answer)["printers"]}
        except (OSError, ValueError, KeyError, urllib.error.URLError):
            self.live = {}  # the ledger's own word is shown instead
        return True


class _Terminal:
    """The screen and the keys. Whatever ends it, the terminal is as it was before."""

    def __init__(self, watch: _Watch, every_s: float) -> None:
        self._watch, self._every_s = watch, every_s
        self._console = Console(highlight=False)
        self._chosen = 0
        self._opened = ""
        self._resized, self._resize = os.pipe()

    def run(self) -> None:
        with _keys_one_by_one(), self._told_of_its_size(), Live(console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(Group(*self._lines()), refresh=True)
                ready, _, _ = select.select([sys.stdin, self._resized], [], [], self._every_s)
                if self._resized in ready:
                    os.read(self._resized, 1024)
                if sys.stdin in ready and not self._obey(os.read(sys.stdin.fileno(), 64)):
                    return

    def _lines(self) -> Sequence[Text]:
        width, height = self._console.size
        try:
            view = self._watch.look()
        except AgentError as error:  # the ledger is busy or away for now
            return [Text(error.told()[:width], style="red")]
        if self._opened:
            return top_lines.told(self._opened, top_view.story(self._watch.ledger, self._opened), width, height)
        listed = [*view.offers, *view.orders]
        self._chosen = max(0, min(self._chosen, len(listed) - 1))
        chosen = listed[self._chosen].id if listed else ""
        return top_lines.screen(view, utc_now(), width, height, chosen)

    def _obey(self, typed: bytes) -> bool:
        """False: that was all. Nothing typed (the terminal has gone) ends it as well."""
        for one in _ONE_KEY.findall(typed):
            key = _KEYS.get(one, "")
            if key == "quit":
                return False
            self._do(key)
        return bool(typed)

    def _do(self, key: str) -> None:
        view = self._watch.known
        match key:
            case "back":
                self._opened = ""
            case "open" if view is not None:
                listed = [*view.offers, *view.orders]
                self._opened = listed[self._chosen].id if self._chosen < len(listed) else ""
            case "up" | "down":
                listed_to = 0 if view is None else len(view.offers) + len(view.orders) - 1
                self._chosen = max(0, min(listed_to, self._chosen + (1 if key == "down" else -1)))

    @contextmanager
    def _told_of_its_size(self) -> Iterator[None]:
        os.set_blocking(self._resize, False)
        before = signal.signal(signal.SIGWINCH, self._has_new_size)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)
            os.close(self._resize)
            os.close(self._resized)

    def _has_new_size(self, _number: int, _frame: FrameType | None) -> None:
        try:
            os.write(self._resize, b"x")
        except BlockingIOError:
            return  # told often enough


@contextmanager
def _keys_one_by_one() -> Iterator[None]:
    """Without echo, each as it is typed; a signal that ends the program ends it through here."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    ends = {number: signal.signal(number, lambda *_: sys.exit(0)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        for number, handler in ends.items():
            signal.signal(number, handler)
