"""Who we speak to: the printer proves its serial number before it is told any password.

The certificate's CN is the serial number; it names no host. X1C and H2D speak TLS 1.2 only, so 1.2 is all we offer (facts read in
public sources, seen against servers of our own; not seen on hardware).
"""

import ssl
from pathlib import Path
from typing import Any

from agent.wire.tls import ClosingSocket, read_authority

_STRICT = getattr(ssl, "VERIFY_X509_STRICT", 0)
"""Python 3.13 sets it; the vendor's certificates do not satisfy it."""


class _WrongPrinterError(ssl.SSLCertVerificationError):
    """As OpenSSL's own verdict looks to whoever reads `verify_message`."""

    def __init__(self, message: str) -> None:
        super().__init__(1, message)
        self.verify_code = 62  # X509_V_ERR_HOSTNAME_MISMATCH
        self.verify_message = message


def context_for(ca_file: Path, serial: str) -> ssl.SSLContext:
    """For every connection to that printer. ConfigError where the file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # it has no host name; the serial number is checked instead
    context.verify_flags = (context.verify_flags & ~_STRICT) | ssl.VERIFY_X509_PARTIAL_CHAIN  # the device's own CA is trust enough
    read_authority(context, ca_file)
    context.sslsocket_class = _checking(serial)
    return context


def _checking(serial: str) -> type[ssl.SSLSocket]:
    class CheckingSocket(ClosingSocket):
        def check_peer(self) -> None:
            _require_serial(self.getpeercert() or {}, serial)

    return CheckingSocket


def _require_serial(certificate: Any, serial: str) -> None:
    names = [str(value) for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    if names == [serial]:
        return
    name = names[0][:64] if names else "nobody"
    if name.casefold() == serial.casefold():
        raise _WrongPrinterError(f"its serial number is written {name!r}, capitals and small letters count, not {serial!r}")
    raise _WrongPrinterError(f"it is the printer {name!r}, not {serial!r}")
