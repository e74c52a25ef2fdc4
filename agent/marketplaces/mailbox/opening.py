"""Having a mail taken apart by a child with limits (unpack.py), and what came of it."""

import sys
from pathlib import Path

from pydantic import ValidationError

from agent.domain.errors import Refused
from agent.domain.values import Value
from agent.marketplaces.mailbox import unpack
from agent.wire.child import Limits, run

_ROOT = Path(__file__).parents[3]
_WALL_S, _CPU_S = 60.0, 30
_MEMORY_BYTES = 1 << 30
_ENV = {"PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


class MailModel(Value):
    """A model that came with a mail, by attachment, in an archive or by a link. `path` is where it lies; `kind` its ending by content."""

    name: str
    kind: str
    path: Path
    bytes: int
    sha256: str


class Closed(Value):
    """A file that was not opened, and why."""

    name: str
    bytes: int
    sha256: str
    why: str


class OpenedMail(Value):
    text: str
    from_html: bool
    models: list[MailModel]
    closed: list[Closed]


class _Told(Value):
    why: str
    text: str = ""
    from_html: bool = False
    models: list[MailModel] = []
    closed: list[Closed] = []


async def open_mail(mail: Path, folder: Path, largest_bytes: int) -> OpenedMail:
    """Take it apart into `folder`, which is there and empty. Refused where it cannot be, with why."""
    limits = Limits(wall_s=_WALL_S, cpu_s=_CPU_S, memory_bytes=_MEMORY_BYTES, file_bytes=largest_bytes + (1 << 20))
    argv = [sys.executable, "-m", unpack.__name__, str(mail), str(folder), str(largest_bytes)]
    ended = await run(argv, cwd=folder, env=_ENV, limits=limits)
    try:
        told = _Told.model_validate_json((folder / unpack.RESULT).read_bytes())
    except (FileNotFoundError, ValidationError):
        why = f"the limit of {ended.stopped_by}" if ended.stopped_by else f"exit code {ended.code}"
        raise Refused(f"taking it apart ended early ({why})", code="mail_unreadable") from None
    if told.why:
        raise Refused(told.why, code="mail_unreadable")
    models = [model.model_copy(update={"path": folder / model.path}) for model in told.models]
    return OpenedMail(text=told.text, from_html=told.from_html, models=models, closed=told.closed)
