"""What the words in a mail mean. Each reader raises ValueError with what it expected; none of them guesses."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from agent.domain.offer import Supports
from agent.domain.values import Color, Money
from agent.marketplaces.mailbox.templates import MoneyWords, TimeWords, WordTables

_MOST_DAYS = 366


def order_number(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9#._/-]{1,60}", text):
        raise ValueError("a number without spaces")
    return text


def money(text: str, words: MoneyWords) -> Money:
    """`12.50 EUR`, `€12.50`, `12,50 €`: digits without separators of thousands, with no decimals or two."""
    found = re.fullmatch(r"([^\d\s.,-]{0,4}) ?(\d{1,7})(?:([.,])(\d{2}))? ?([^\d\s.,-]{0,4})", text, re.ASCII)
    if found is None or bool(found[1]) == bool(found[5]) or found[3] not in (None, words.decimal):
        raise ValueError(f'an amount and a currency, such as "12{words.decimal}50 EUR"')
    sign = found[1] or found[5]
    currency = words.currencies.get(sign, sign)
    if not re.fullmatch("[A-Z]{3}", currency):
        raise ValueError("a currency that the template knows")
    return Money(amount=Decimal(f"{found[2]}.{found[4] or '00'}"), currency=currency)


def moment(text: str, words: TimeWords, received_at: datetime) -> datetime:
    """Not further from the mail than a year. ValueError also where two formats read it as different moments."""
    found = {_of_zone(parsed, form, words.zone) for form in words.formats if (parsed := _parsed(text, form)) is not None}
    if len(found) != 1:
        raise ValueError("a moment that can be read in one way" if found else "a moment in one of the template's formats")
    (one,) = found
    if abs((one - received_at).days) > _MOST_DAYS:
        raise ValueError("a moment within a year of the mail")
    return one


def minutes(text: str) -> int:
    return _whole(text, 1, 14 * 24 * 60, "minutes, a whole number of them")


def quantity(text: str) -> int:
    return _whole(text, 1, 10_000, "a whole number from 1 to 10000")


def percent(text: str) -> int:
    return _whole(text.removesuffix("%").strip(), 0, 100, "a whole number from 0 to 100")


def millimetres(text: str) -> float:
    number = text.lower().removesuffix("mm").strip()
    if not re.fullmatch(r"[0-2](\.\d{1,3})?", number, re.ASCII) or not 0 < float(number) <= 2:
        raise ValueError("millimetres, more than 0 and at most 2")
    return float(number)


def material(text: str, words: WordTables) -> str:
    return _known(text, words.material, "a material that the template lists")


def supports(text: str, words: WordTables) -> str:
    return _known(text, {ours.value: words.supports.get(ours, []) for ours in Supports}, "a word about supports that the template lists")


def color(text: str, words: WordTables) -> Color:
    """As it is listed, else as it is called: whether that is loaded is found out later."""
    try:
        return Color(name=_known(text, words.color, ""))
    except ValueError:
        if len(text) > 60:
            raise ValueError("the name of a colour") from None
        return Color(name=text, hex=text if re.fullmatch(r"#[0-9A-Fa-f]{6}", text) else None)


def link(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        known = False
    if not known or not re.fullmatch(r"[!-~]{1,1000}", text):
        raise ValueError("an address that begins with https://")
    return text


def file_name(text: str) -> str:
    if re.search(r"[/\\\x00]", text) or len(text) > 150:
        raise ValueError("the plain name of a file")
    return text


def same(text: str) -> str:
    """Equal for words that a person takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).strip()


def _known(text: str, words: Mapping[str, Sequence[str]], expected: str) -> str:
    meant = [ours for ours, said in words.items() if same(text) in map(same, [*said, ours])]
    if len(meant) != 1:
        raise ValueError(expected)
    return meant[0]


def _whole(text: str, least: int, most: int, expected: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not least <= int(text) <= most:
        raise ValueError(expected)
    return int(text)


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None


def _of_zone(parsed: datetime, form: str, zone: str) -> datetime:
    whole = any(mark in form for mark in ("%H", "%I", "%X", "%c"))
    local = parsed if whole else datetime.combine(parsed.date(), time(23, 59, 59))
    return (local if local.tzinfo else local.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
