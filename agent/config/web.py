"""The [web] table: where the page is served, under which address, and how its connections are kept secret."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from agent.config.values import HttpUrl, PathOption, Section, check_listen


def _listen(value: object) -> str:
    return "" if value == "" else check_listen(value)


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError('an address or a network, such as "127.0.0.1" or "192.168.1.0/24"') from None


class WebSettings(Section):
    """The web page where people look, answer and agree, and the HTTP API for scripts."""

    listen: Annotated[str, BeforeValidator(_listen)] = Field(
        "127.0.0.1:8410",
        description='Host and port. "127.0.0.1:8410": only this machine reaches it | "0.0.0.0:8410": every machine that can reach this one '
        '| "": there is no page.',
    )
    url: HttpUrl | None = Field(
        None,
        description="The address people open it at, where it has a name of its own or stands behind a proxy. Not set: the one of listen. "
        "Requests for any other name than this and the machine's own are refused.",
        examples=["https://printers.example"],
    )
    certificate_file: PathOption | None = Field(
        None, description="The certificate (PEM, with its chain) for https. Not set: http.", examples=["tls/fullchain.pem"]
    )
    key_file: PathOption | None = Field(None, description="The certificate's key (PEM). Not set: http.", examples=["tls/key.pem"])
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = Field(
        [],
        description="Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed. Not set: nobody's.",
        examples=[["127.0.0.1"]],
    )

    @field_validator("url")
    @classmethod
    def _no_path(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).path:
            raise ValueError("an address without a path, such as https://printers.example")
        return value

    @field_validator("key_file")
    @classmethod
    def _both_or_none(cls, value: Path | None, info: ValidationInfo) -> Any:
        if "certificate_file" in info.data and (value is None) != (info.data["certificate_file"] is None):
            raise ValueError("certificate_file and key_file together, or neither")
        return value

    @property
    def in_the_clear(self) -> bool:
        """Other machines reach it, without https."""
        own = self.listen.startswith(("127.", "localhost:", "[::1]:"))
        return bool(self.listen) and not own and self.certificate_file is None and not (self.url or "").startswith("https://")
