"""The screen of `top` as lines, each no wider than the terminal, all of them no more than it is high."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from agent.commands.top_view import EventRow, OrderRow, PrinterRow, View
from agent.domain.events import Event
from agent.domain.values import one_line

_SOON = timedelta(minutes=5)
_GAP = "  "


@dataclass(frozen=True)
class Column:
    """`least`: cells it needs to be of any use. One that does not fit any more is left out, the last ones first."""

    title: str
    cells: list[str]
    least: int
    styles: list[str]


def screen(view: View, now: datetime, width: int, height: int, chosen: str = "") -> list[Text]:
    """`chosen`: the id of the order the cursor is on."""
    counts = f"{len(view.printers)} printers · {view.offers_open} offers · {view.orders_open} orders"
    head = f"{view.agent} · {counts} · {now.astimezone():%H:%M:%S}"
    sections = [
        ("PRINTERS", _printers(view.printers, now), "No printer is configured."),
        ("OFFERS", _orders(view.offers, now, chosen), "No offer waits."),
        ("ORDERS", _orders(view.orders, now, chosen), "No order is open."),
        ("LAST EVENTS", _events(view.events), "Nothing has happened yet."),
    ]
    lines = [_line(head, width, "bold")]
    rows = _shared([len(columns[0].cells) for _, columns, _ in sections], height - 1)
    for (title, columns, none), room in zip(sections, rows, strict=True):
        lines += _section(title, columns, none, width, room)
    return lines[:height]


def told(order_id: str, events: Sequence[Event], width: int, height: int) -> list[Text]:
    """One order's story."""
    lines = [_line(f"{order_id} · {len(events)} events, the newest first · Esc: back", width, "bold")]
    for event in events:
        data = ", ".join(f"{name}={value}" for name, value in event.data.items() if isinstance(value, str | int | float) and value != "")
        lines.append(_line(f"{event.at.astimezone():%d %b %H:%M:%S}{_GAP}{event.kind}{_GAP}{data}", width))
    return lines[:height]


def _shared(wanted: Sequence[int], height: int) -> list[int]:
    """Lines for each section, its title among them: a fair share each, and what one does not need is the others'."""
    wants = [1 + max(1, count) for count in wanted]
    given = [0] * len(wants)
    left = height
    while left > 0 and given != wants:
        for n, want in enumerate(wants):
            if left > 0 and given[n] < want:
                given[n], left = given[n] + 1, left - 1
    return given


def _section(title: str, columns: Sequence[Column], none: str, width: int, room: int) -> list[Text]:
    if room < 1:
        return []
    count = len(columns[0].cells)
    if count == 0:
        return [_line(title, width, "bold cyan"), _line(none, width, "dim")][:room]
    shown = min(count, room - 1)
    widths = _fitted(columns, width)
    heads = [_sized(column.title, cells) for column, cells in zip(columns, widths, strict=False)]
    name = title if shown == count else f"{title} {shown} of {count}"
    heads[0] = _sized(name, max(widths[0], cell_len(name)))
    lines = [_line(_GAP.join(heads), width, "bold cyan")]
    for n in range(shown):
        line = Text()
        for column, cells in zip(columns, widths, strict=False):
            line.append(_sized(column.cells[n], cells) + _GAP, style=column.styles[n])
        line.rstrip()
        line.truncate(width)
        lines.append(line)
    return lines


def _fitted(columns: Sequence[Column], width: int) -> list[int]:
    """Cells of each column that fits; the last one has what is left."""
    widths: list[int] = []
    left = width
    for column in columns:
        wish = max([column.least, cell_len(column.title), *(cell_len(cell) for cell in column.cells)])
        if widths and left < column.least + len(_GAP):
            break
        widths.append(min(wish, left if column is columns[-1] else min(left, max(column.least, width // 3))))
        left -= widths[-1] + len(_GAP)
    return widths


def _printers(rows: Sequence[PrinterRow], now: datetime) -> list[Column]:
    none = [""] * len(rows)
    busy = ["green" if row.order else "yellow" if row.bed != "free" else "" for row in rows]
    return [
        _column("printer", [row.name for row in rows], 8, none),
        _column("state", [row.state for row in rows], 8, busy),
        _column("done", [_percent(row.done(now)) for row in rows], 4, none),
        _column("left", [_span(row.left_s(now)) for row in rows], 6, none),
        _column("order", [f"{row.order} plate {row.plate}" if row.order else "" for row in rows], 9, none),
        _column("bed", [row.bed for row in rows], 8, none),
    ]


def _orders(rows: Sequence[OrderRow], now: datetime, chosen: str) -> list[Column]:
    cursor = ["reverse" if row.id == chosen else "" for row in rows]
    return [
        _column("order", [row.id for row in rows], 9, cursor),
        _column("waits for", [row.waits_for or f"({row.state})" for row in rows], 10, ["yellow" if row.waits_for else "" for row in rows]),
        _column("until", [_until(row.deadline, now) for row in rows], 6, [_urgent(row.deadline, now) for row in rows]),
        _column("payout", [row.payout for row in rows], 9, [""] * len(rows)),
        _column("what", [row.items for row in rows], 8, [""] * len(rows)),
    ]


def _events(rows: Sequence[EventRow]) -> list[Column]:
    none = [""] * len(rows)
    return [
        _column("when", [f"{row.at.astimezone():%H:%M:%S}" for row in rows], 8, none),
        _column("order", [row.order for row in rows], 9, none),
        _column("what", [row.kind for row in rows], 8, none),
    ]


def _column(title: str, cells: list[str], least: int, styles: list[str]) -> Column:
    """Words from outside lose whatever would move a cursor."""
    return Column(title, [one_line(cell) for cell in cells], least, styles)


def _line(words: str, width: int, style: str = "") -> Text:
    line = Text(one_line(words), style=style, no_wrap=True)
    line.truncate(width)
    return line


def _sized(words: str, cells: int) -> str:
    """Exactly so wide, counted as a terminal does; what is cut ends in an ellipsis."""
    return set_cell_size(words, cells) if cell_len(words) <= cells else set_cell_size(words, max(0, cells - 1)) + "…"[:cells]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes = int(seconds + 59) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02}" if minutes < 2880 else f"{minutes // 1440} days"


def _until(deadline: datetime | None, now: datetime) -> str:
    if deadline is None:
        return ""
    left = (deadline - now).total_seconds()
    return _span(left) if left >= 0 else f"{_span(-left)} ago"


def _urgent(deadline: datetime | None, now: datetime) -> str:
    return "" if deadline is None or deadline - now > _SOON else "red"
