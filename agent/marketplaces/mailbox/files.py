"""Which model each item means: an attachment by its name, or what lies behind a link on a host that is listed."""

import asyncio
import hashlib
import mmap
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from agent.domain.errors import Refused
from agent.marketplaces.downloads import Downloads
from agent.marketplaces.mailbox import unpack
from agent.marketplaces.mailbox.opening import MailModel
from agent.marketplaces.mailbox.reading import MailItem, MailOrder, Reading
from agent.marketplaces.mailbox.values import same
from agent.marketplaces.replies import translated

MODEL_ENDINGS = {".stl": "model/stl", ".3mf": "model/3mf", ".obj": "model/obj"}
_TIMEOUT_S = 20.0
_MOST_LINKS = 20


class Links:
    """Fetches models from `hosts`, and from nowhere else. Only links that a template reads as a model's are ever asked."""

    def __init__(self, hosts: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._tls = tls

    async def fetch(self, items: Sequence[MailItem], into: Path, largest_bytes: int) -> dict[str, MailModel]:
        """By link. Refused: there is no such file, or it must not be fetched. Transient: not now."""
        links = list(dict.fromkeys(item.link for item in items if item.link))
        if not links:
            return {}
        if len(links) > _MOST_LINKS:
            raise Refused(f"It has more than {_MOST_LINKS} links to models.")
        found: dict[str, MailModel] = {}
        left = largest_bytes
        trusted = await asyncio.to_thread(ssl.create_default_context) if self._tls is None else self._tls
        async with httpx.AsyncClient(
            verify=trusted, timeout=_TIMEOUT_S, trust_env=False, headers={"Accept-Encoding": "identity"}
        ) as client:
            downloads = Downloads(client, "", self._hosts)
            for n, link in enumerate(links, start=1):
                path = into / f"l{n}"
                async with translated():
                    await downloads.fetch(link, path, left)
                found[link] = await asyncio.to_thread(_fetched, link, path)
                left -= found[link].bytes
        return found


def _fetched(link: str, path: Path) -> MailModel:
    """What was fetched, by what it holds. Refused where that is no model."""
    size = path.stat().st_size
    name = unpack.plain_name(unquote(urlsplit(link).path))
    with path.open("rb") as file:
        if size == 0:
            raise Refused(f"{name}, behind its link, is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            kind, sha256 = unpack.kind_of(content), hashlib.sha256(content).hexdigest()
    if kind not in MODEL_ENDINGS:
        raise Refused(f"{name}, behind its link, is no model (STL, 3MF, OBJ).")
    return MailModel(name=name, kind=kind, path=path, bytes=size, sha256=sha256)


def match(reading: Reading, attached: Sequence[MailModel], linked: dict[str, MailModel]) -> tuple[Reading, list[MailModel]]:
    """The model of each item, in the items' order. With a question where that is not plain: none, two, one too many."""
    order = reading.order
    if order is None:
        return reading, []
    models, questions = [], []
    for n, item in enumerate(order.items, start=1):
        found = _of_item(item, attached, linked)
        if isinstance(found, str):
            questions.append(f"Item {n}: {found}")
        else:
            models.append(found)
    questions += _left_over(order, attached)
    return (reading.asking(*questions), []) if questions else (reading, models)


def _of_item(item: MailItem, attached: Sequence[MailModel], linked: dict[str, MailModel]) -> MailModel | str:
    if item.link:
        model = linked[item.link]
        return _called(model, item.file or model.name)
    by_content = {model.sha256: model for model in attached if same(model.name) == same(item.file)}
    if not by_content:
        return f"no model called {item.file} came with the mail."
    if len(by_content) > 1:
        return f"{len(by_content)} different models are called {item.file}."
    return _called(next(iter(by_content.values())), item.file)


def _called(model: MailModel, name: str) -> MailModel | str:
    """With the ending of what it holds. One that is called an STL and holds a 3MF may come out in another size."""
    ending = next((known for known in MODEL_ENDINGS if name.lower().endswith(known)), "")
    if ending and ending != model.kind:
        return f"{name} holds a {model.kind[1:].upper()} file."
    return model.model_copy(update={"name": name if ending else f"{name}{model.kind}"})


def _left_over(order: MailOrder, attached: Sequence[MailModel]) -> list[str]:
    named = {same(item.file) for item in order.items if not item.link}
    return [f"{model.name} came with the mail, and no item names it." for model in attached if same(model.name) not in named]
