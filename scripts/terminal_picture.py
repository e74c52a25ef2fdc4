"""Takes the picture of a terminal in docs/pictures: `make screenshots`. What `intagly-agent top --once` says of a shop at work, as SVG."""

import io
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent.domain.question import Step
from agent.sandbox.models import demo_part, t_shape, write_binary_stl
from tests.browser.shop import SLOW, Shop, open_shop
from tests.rigs.agent_process import wait_until

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "top.svg"
WIDTH, HEIGHT = 76, 24
_WHITE = {"name": "white", "hex": "#ffffff"}


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, open_shop(Path(temporary), fresh=True) as shop:
        _at_work(shop, Path(temporary))
        said = _top(shop.home.config)
    PICTURE.write_text(drawn(said))


def _at_work(shop: Shop, folder: Path) -> None:
    """A print that goes on, photos to take, a parcel to drop off, an offer to answer."""
    shop.models = {name: write_binary_stl(folder / name, demo_part()) for name in ("wall-hook.stl", "coat-hook.stl")}
    shop.models["stand.stl"] = write_binary_stl(folder / "stand.stl", t_shape())
    photos, parcel = shop.printed("wall-hook.stl", "stand.stl", ship_by=(datetime.now(UTC) + timedelta(hours=9)).isoformat())
    shop.lead_to_its_end(photos, until=Step.PHOTOS)
    shop.lead_to_its_end(parcel, until=Step.DROPPED_OFF)
    shop.answers.bed_is_clear(SLOW)
    printing = shop.offer("coat-hook.stl", items=[{"color": _WHITE, "quantity": 2}])
    wait_until(lambda: "printing" in shop.desk.kinds(shop.order_of(printing)), "a print goes on")
    asked = shop.offer("wall-hook.stl", special_instructions="A gift: please wrap it.")
    wait_until(lambda: shop.asked(shop.order_of(asked), Step.OFFER), "an offer is asked about")


def _top(config: Path) -> str:
    """In colours, as on a terminal of that size."""
    environ = {**os.environ, "COLUMNS": str(WIDTH), "LINES": str(HEIGHT), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "agent", "top", "--once", "--config", str(config), "--set", "agent.name=garage"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout


def drawn(said: str) -> str:
    """Nothing is loaded from elsewhere: the letters are the reader's own."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(said.splitlines()[:HEIGHT])))
    svg = console.export_svg(title="intagly-agent top")
    return re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    main()
