"""Files of an order, and of nothing else."""

import hashlib

from agent.domain.order import Order
from agent.domain.retention import REMOVED
from agent.ports.ledger import OrderMove
from tests.operator.web.served import Served

PNG = b"\x89PNG\r\n\x1a\n a picture"
HTML = b"<html><script>alert(1)</script>"


def keep(served: Served, order_id: str, **files: bytes) -> dict[str, str]:
    """Photos with these contents; name -> sha256."""
    stored = {name: served.shop.store.put(content) for name, content in files.items()}
    order: Order = served.ledger.order(order_id)
    dossier = order.dossier.model_copy(update={"photos": stored})
    served.ledger.move(order, OrderMove(to=order.state, event="test", dossier=dossier))
    return stored


async def test_pictures_are_shown_and_all_else_is_saved(served: Served) -> None:
    order_id, ada = served.offer(), await served.person()
    stored = keep(served, order_id, picture=PNG, page=HTML)
    picture = await ada.client.get(f"/orders/{order_id}/files/{stored['picture']}")
    assert (picture.content, picture.headers["content-type"]) == (PNG, "image/png")
    page = await ada.client.get(f"/orders/{order_id}/files/{stored['page']}")
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"].startswith("attachment")
    assert page.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_another_orders_files_and_unknown_ones_are_not_given_out(served: Served) -> None:
    mine, other, ada = served.offer(), served.offer(offer_id="f2"), await served.person()
    stored = keep(served, other, picture=PNG)
    stray = served.shop.store.put(b"of nobody's")
    await ada.get(f"/orders/{other}/files/{stored['picture']}")
    for path in (f"/orders/{mine}/files/{stored['picture']}", f"/orders/{mine}/files/{stray}", f"/orders/nope/files/{stored['picture']}"):
        await ada.get(path, 404)


async def test_no_path_is_a_file(served: Served) -> None:
    order_id, ada = served.offer(), await served.person()
    up = ["../../ledger.sqlite3", "..%2f..%2fledger.sqlite3", "%2e%2e/%2e%2e/ledger.sqlite3"]
    for path in (*up, "/etc/passwd", "%00", "a" * 63, "A" * 64, "incoming"):
        answer = await ada.client.get(f"/orders/{order_id}/files/{path}")
        assert answer.status_code == 404, path
        assert b"SQLite" not in answer.content
        assert (await ada.client.get(f"/static/{path}")).status_code == 404


async def test_a_file_that_the_store_lost_is_told_so(served: Served) -> None:
    order_id, ada = served.offer(), await served.person()
    stored = keep(served, order_id, picture=PNG)
    served.shop.store.path(hashlib.sha256(PNG).hexdigest()).unlink()
    assert "has no such file" in await ada.get(f"/orders/{order_id}/files/{stored['picture']}", 404)


async def test_a_file_that_a_rule_removed_is_told_so_there_and_on_the_page(served: Served) -> None:
    order_id, ada = served.offer(), await served.person()
    stored = keep(served, order_id, picture=PNG)
    file = {"sha256": stored["picture"], "kind": "photo", "bytes": len(PNG), "why": "a photo is kept for 730 days"}
    served.ledger.record(order_id, REMOVED, {"bytes": len(PNG), "files": [file]})
    served.shop.store.path(stored["picture"]).unlink()
    for page in (await ada.get(f"/orders/{order_id}/files/{stored['picture']}", 404), await ada.get(f"/orders/{order_id}")):
        assert "by the rules for old files: a photo is kept for 730 days." in page


async def test_a_customers_file_name_breaks_no_header(served: Served) -> None:
    order_id, ada = served.offer(), await served.person()
    order = served.ledger.order(order_id)
    sha256 = served.shop.store.put(b"solid")
    offer = order.dossier.offer
    named = offer.model_copy(update={"files": [offer.files[0].model_copy(update={"name": 'a"\r\nSet-Cookie: x=1;.stl'})]})
    dossier = order.dossier.model_copy(update={"offer": named, "files": {"m1": sha256}})
    served.ledger.move(order, OrderMove(to=order.state, event="test", dossier=dossier))
    answer = await ada.client.get(f"/orders/{order_id}/files/{sha256}")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
