"""The kinds of values an option can have. What a validator here raises is read by a person after the word "expected"."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import time
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from agent.domain.values import Color, Money

_POSTGRESQL = re.compile(r"postgresql\+psycopg://([^\s/@:]*(:[^\s@]*)?@)?(\[[0-9A-Fa-f:.]+\]|[^\s/@:?]*)(:[0-9]{1,5})?/[^\s/?]+(\?\S*)?")


class Section(BaseModel):
    """A table of a configuration file. An unknown option is an error."""

    # Built once, as a part of what it is in, and not by itself beforehand.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, defer_build=True)


def _no_bool(value: object) -> object:
    """pydantic takes true for 1."""
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


def text_of(value: object, expected: str) -> str:
    """The value, where it is text of one line."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(expected)
    return value


def _name(value: object) -> str:
    expected = "a name of up to 64 letters, digits, '.', '_' and '-'"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text_of(value, expected)):
        raise ValueError(expected)
    return str(value)


@dataclass(frozen=True)
class Reading:
    """What the file that is being read brings with it: its folder, the environment, and what is no mistake but worth telling."""

    folder: Path = field(default_factory=Path)
    environ: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    needs_secrets: bool = True
    """False: a secret that is not to be had here is left empty, for a person beside the service who only looks into the ledger."""


_READING: ContextVar[Reading] = ContextVar("_READING")


@contextmanager
def reading_with(new: Reading) -> Iterator[Reading]:
    """Inside, `reading()` is this one. pydantic-settings hands no validation context through."""
    before = _READING.set(new)
    try:
        yield new
    finally:
        _READING.reset(before)


def reading() -> Reading:
    return _READING.get(Reading())


def located(text: str) -> Path:
    """The path a text in the file that is being read means; `~` is the home directory. ValueError where it is none."""
    try:
        return reading().folder / Path(text).expanduser()
    except RuntimeError:
        raise ValueError("a path without ~: the home directory is not known") from None


def _path(value: object) -> Path:
    return located(str(value) if isinstance(value, Path) else text_of(value, "a path"))


def _folder(value: object) -> Path:
    path = _path(value)
    if not is_folder(path):
        raise ValueError(f"a folder that is there ({path})")
    return path


def is_folder(path: Path) -> bool:
    """False also where it may not be known."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _http_url(value: object) -> str:
    expected = "an address such as https://host/path, without user name and password"
    text = text_of(value, expected)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or " " in text:
        raise ValueError(expected)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(expected)
    return text.rstrip("/")


def _http_query_url(value: object) -> str:
    expected = "an address such as http://host/webcam/?action=snapshot"
    address, mark, query = text_of(value, expected).partition("?")
    if not re.fullmatch(r"[!-~]*", query):
        raise ValueError(expected)
    return _http_url(address) + ("/" if address.endswith("/") else "") + mark + query


def _host(value: object) -> str:
    expected = "a name or address such as printer.local or 192.168.1.50, without http:// and port"
    text = text_of(value, expected)
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}", text):
        raise ValueError(expected)
    return text


def _serial(value: object) -> str:
    """In another case the printer takes the connection and says nothing."""
    expected = "the serial number as the printer shows it: capitals and digits, such as 01P00A000000001"
    if not re.fullmatch(r"[0-9A-Z]{8,32}", text_of(value, expected)):
        raise ValueError(expected)
    return str(value)


def _url_form(value: object) -> str:
    expected = 'a form with {file} in it, such as "ftp:///{file}"'
    text = text_of(value, expected)
    if not re.fullmatch(r"(ftp|file):/[A-Za-z0-9/_.-]*\{file\}", text):
        raise ValueError(expected)
    return text


def check_database(url: str) -> None:
    """ValueError, without the address in its text, where no ledger could be kept there.

    SQLite in memory, or in a file that depends on where the agent was started from, would lose orders: it needs a whole path.
    """
    if re.fullmatch(r"sqlite:////[^?#]+", url):
        return
    if not _POSTGRESQL.fullmatch(url):
        raise ValueError("sqlite:////absolute/path/ledger.sqlite3 or postgresql+psycopg://user@host/database")
    if find_spec("psycopg") is None:
        raise ValueError('psycopg to be installed for it: pip install "intagly-agent[postgresql]"')


def _database(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        check_database(value.get_secret_value())
    return value


def check_listen(value: object) -> str:
    """The validator of an option with host and port."""
    expected = "host:port, such as 127.0.0.1:8410"
    match = re.fullmatch(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text_of(value, expected))
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(expected)
    return str(value)


def _money(value: object) -> Money:
    if isinstance(value, Money):
        return value
    expected = 'an amount and a currency, such as "5.00 EUR"'
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,2})?) ([A-Z]{3})", text_of(value, expected))
    if match is None:
        raise ValueError(expected)
    return Money(amount=Decimal(match[1]), currency=match[2])


def _hours(value: object) -> tuple[time, time]:
    """`24:00` is the end of the day."""
    if isinstance(value, tuple):
        return value
    expected = 'hours such as "08:00-22:00"'
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:(24):00|([01][0-9]|2[0-3]):([0-5][0-9]))", text_of(value, expected))
    if match is None:
        raise ValueError(expected)
    start = time(int(match[1]), int(match[2]))
    end = time.max if match[3] else time(int(match[4]), int(match[5]))
    if start == end:
        raise ValueError(f"{expected} that end at another time than they begin")
    return start, end


class ColorOption(Section):
    """A colour: its name, or `{ name = "black", hex = "#1a1a1a" }`."""

    name: str = Field(min_length=1, max_length=80)
    hex: str | None = None

    @field_validator("hex")
    @classmethod
    def _is_hex(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
            raise ValueError('a colour such as "#1a1a1a"')
        return value

    def value(self) -> Color:
        return Color(name=self.name, hex=self.hex)


def _color(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool)]
NameOption = Annotated[str, BeforeValidator(_name)]
PathOption = Annotated[Path, BeforeValidator(_path)]
"""Absolute, or relative to the file it is written in."""
FolderOption = Annotated[Path, BeforeValidator(_folder)]
Host = Annotated[str, BeforeValidator(_host)]
Serial = Annotated[str, BeforeValidator(_serial)]
UrlForm = Annotated[str, BeforeValidator(_url_form)]
HttpUrl = Annotated[str, BeforeValidator(_http_url)]
HttpQueryUrl = Annotated[str, BeforeValidator(_http_query_url)]
"""As HttpUrl, with a query and a slash before it: cameras need both."""
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
MoneyOption = Annotated[Money, BeforeValidator(_money)]
Hours = Annotated[tuple[time, time], BeforeValidator(_hours)]
NamedColor = Annotated[ColorOption, BeforeValidator(_color)]
