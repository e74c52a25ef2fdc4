"""How the page is reached: its socket, its address, its certificate, and the names it answers to."""

import ipaddress
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from agent.domain.errors import ConfigError


@dataclass(frozen=True)
class Access:
    """`host` as in the configuration, IPv6 in brackets; port 0 is any free one. `url`: the address people open, where that is another."""

    host: str
    port: int
    url: str = ""
    certificate: Path | None = None
    key: Path | None = None
    trusted_proxies: list[str] = field(default_factory=list)

    @property
    def secure(self) -> bool:
        """People come over https: to us, or to a proxy in front of us."""
        return self.certificate is not None or self.url.startswith("https://")

    @property
    def loopback(self) -> bool:
        """Nobody but this machine reaches it."""
        return not self.url and (self.host == "localhost" or (_is_address(self.host) and _address(self.host).is_loopback))

    def opened_at(self, port: int = 0) -> str:
        """What to type into a browser. A server on every address is told by this machine's name."""
        if self.url:
            return self.url
        everywhere = _is_address(self.host) and _address(self.host).is_unspecified
        host = f"{socket.gethostname()}.local" if everywhere else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{port or self.port}"

    def answers_to(self, host: str) -> bool:
        """Whether a request's Host header names us.

        A page of somebody else's can make its own name point at us, and speak to us under that name as if it were ours (DNS rebinding).
        It can take neither an address nor this machine's own name.
        """
        name = _name_of(host)
        own = socket.gethostname().lower()
        named = {"localhost", own, f"{own}.local", self.host.lower(), (urlsplit(self.url).hostname or "").lower()}
        return bool(name) and (name in named or _is_address(name))

    def check_certificate(self) -> None:
        """ConfigError where certificate and key cannot be used."""
        if self.certificate is None or self.key is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ssl.SSLError) as error:
            why = error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "they are no certificate and its key"
            hint = "Both have to be PEM, the key without a password, and readable for the agent's user."
            raise ConfigError(f"[web] {self.certificate} and {self.key} cannot be used: {why}.", hint=hint) from error

    def listening(self) -> socket.socket:
        """OSError where the address is taken, or not this machine's."""
        family, _, _, _, address = socket.getaddrinfo(self.host.strip("[]"), self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # asyncio sets TCP_NODELAY only where the protocol was named; without it every answer waits 40 ms for a delayed ACK.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(128)
            made.setblocking(False)
        except OSError:
            made.close()
            raise
        return made


def access_of(listen: str, url: str, certificate: Path | None, key: Path | None, trusted_proxies: list[str]) -> Access:
    """From `host:port` and the rest of the configuration."""
    host, _, port = listen.rpartition(":")
    return Access(host, int(port), url, certificate, key, trusted_proxies)


def _name_of(host: str) -> str:
    """Without the port; empty where it is nothing that could stand in a Host header."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".").lower() if "@" not in host and "/" not in host else ""
    except ValueError:
        return ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.strip("[]"))


def _is_address(text: str) -> bool:
    try:
        _address(text)
    except ValueError:
        return False
    return True
