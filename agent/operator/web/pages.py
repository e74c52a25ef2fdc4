"""The pages: Now, Orders, Offers, Printers, and the stream that says when to look again."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from agent.domain.errors import Refused
from agent.domain.person import hashed
from agent.operator.desk import Desk
from agent.operator.looks import PrinterLooks
from agent.operator.pictures import PrinterPictures
from agent.operator.web import stories
from agent.operator.web.feed import Feed
from agent.operator.web.parcels import label_story
from agent.operator.web.rendering import Pages
from agent.operator.web.tasks import what_waits
from agent.operator.web.visitors import Visitors


def routes(desk: Desk, looks: PrinterLooks, pictures: PrinterPictures, feed: Feed, visitors: Visitors, shown: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    _add_lists(router, desk, feed, visitors, shown)
    _add_printers(router, desk, looks, pictures, feed, visitors, shown)
    _add_order(router, desk, feed, visitors, shown)

    @router.get("/live")
    async def live(request: Request, mark: str = "", pictures: str | None = None) -> Response:
        """`pictures`: their mark, for a page that shows what cameras see."""
        visitor = visitors.visitor(request)
        if feed.full:
            raise Refused("Too many pages are open.", hint="Close some of them.", code="too_many")
        secret = hashed(visitor.secret)
        news = feed.stream(mark, lambda: desk.people.session(secret) is not None, pictures)
        return StreamingResponse(news, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    return router


def _add_printers(
    router: APIRouter, desk: Desk, looks: PrinterLooks, pictures: PrinterPictures, feed: Feed, visitors: Visitors, shown: Pages
) -> None:
    @router.get("/")
    async def now(request: Request) -> HTMLResponse:
        visitor, seen = visitors.visitor(request), await looks.now()
        tasks, open_ = what_waits(desk.ledger, seen, desk.now()), desk.ledger.count_open()
        its = stories.printers(desk, seen, pictures)
        return shown.render("now.html", visitor, mark=feed.mark(), tasks=tasks, open_orders=open_, printers=its, now=desk.now())

    @router.get("/printers")
    async def printers(request: Request) -> HTMLResponse:
        """With the pictures that are there: nobody waits for a camera, what it shows comes when it is there."""
        visitor = visitors.visitor(request)
        pictures.look()
        seen = await looks.now()
        told, pictured = stories.printers(desk, seen, pictures), pictures.mark()
        return shown.render("printers.html", visitor, mark=feed.mark(), pictured=pictured, printers=told, now=desk.now())


def _add_lists(router: APIRouter, desk: Desk, feed: Feed, visitors: Visitors, shown: Pages) -> None:
    @router.get("/orders")
    async def orders(request: Request) -> HTMLResponse:
        visitor = visitors.visitor(request)
        open_, ended = stories.orders(desk.ledger, ended=False), stories.orders(desk.ledger, ended=True)
        more = max(0, desk.ledger.count_open() - len(open_))
        return shown.render("orders.html", visitor, mark=feed.mark(), orders=open_, more=more, ended=ended)

    @router.get("/offers")
    async def offers(request: Request) -> HTMLResponse:
        visitor, now = visitors.visitor(request), desk.now()
        return shown.render("offers.html", visitor, mark=feed.mark(), offers=stories.offers(desk.ledger, now), now=now)


def _add_order(router: APIRouter, desk: Desk, feed: Feed, visitors: Visitors, shown: Pages) -> None:
    @router.get("/orders/{order_id}")
    async def order(request: Request, order_id: str) -> HTMLResponse:
        visitor, now = visitors.visitor(request), desk.now()
        mark, story = feed.mark(), stories.story(desk.ledger, order_id)
        label = label_story(desk, stories.order_of(desk.ledger, order_id), story.events)
        return shown.render("order.html", visitor, mark=mark, story=story, label=label, now=now)
