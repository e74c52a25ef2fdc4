"""TLS contexts for connections that are ours: who is trusted, and sockets that are closed when they trust nobody."""

import functools
import ssl
from pathlib import Path

import httpx

from agent.domain.errors import ConfigError


class ClosingSocket(ssl.SSLSocket):
    """Closed where its handshake fails: paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
            self.check_peer()
        except BaseException:
            self.close()
            raise

    def check_peer(self) -> None:
        """What else must be true of the peer, before a byte is sent to it. ssl.SSLCertVerificationError where it is not."""


@functools.cache
def public_trust() -> ssl.SSLContext:
    """The authorities that httpx comes with. One for all of its clients: to read them takes 40 ms and most of a megabyte each time."""
    return httpx.create_ssl_context(trust_env=False)


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Checks certificate and host name, against that authority or the ones the system knows. ConfigError where the file is none."""
    context = ssl.create_default_context() if ca_file is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is not None:
        read_authority(context, ca_file)
    context.sslsocket_class = ClosingSocket
    return context


def read_authority(context: ssl.SSLContext, ca_file: Path) -> None:
    """ConfigError where the file cannot be used."""
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "it holds no certificate"
        raise ConfigError(f"{ca_file} cannot be used: {why}.", hint="It has to be the authority's certificate as PEM.") from error
