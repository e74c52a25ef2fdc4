"""One picture from the chamber camera of P1 and A1: TLS on port 6000, a login of 80 bytes, then frames. Blocking: for a thread.

Facts read in public sources; not seen on hardware. A P1S has one such connection, and an orphan may live on for minutes: it is closed
as soon as the picture is there.
"""

import socket
import ssl
import struct
import time

from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.printers.bambu.access import USER, BambuAccess

LIMIT_S = 10.0
LARGEST_BYTES = 10_000_000
_HEADER_BYTES = 16
_BEGINS, _ENDS = b"\xff\xd8\xff", b"\xff\xd9"


def snapshot(access: BambuAccess, context: ssl.SSLContext) -> bytes:
    """A JPEG. Transient: away, slow, or hung up, which is also how a wrong access code is answered here."""
    until = time.monotonic() + LIMIT_S
    try:
        with (
            socket.create_connection((access.host, access.camera_port), LIMIT_S) as raw,
            context.wrap_socket(raw, server_hostname=access.host) as peer,
        ):
            peer.sendall(_login(access.access_code))
            size = struct.unpack("<I", _read(peer, _HEADER_BYTES, until)[:4])[0]
            if not 0 < size <= LARGEST_BYTES:
                raise Refused(f"The camera announces a picture of {size} bytes.", hint="Is that port its camera?", code="no_picture")
            picture = _read(peer, size, until)
    except ssl.SSLCertVerificationError as error:
        raise NeedsOperator(
            f"The certificate of {access.host} is not to be trusted: {error.verify_message}.",
            hint="Is this the right printer, and ca_file Bambu Lab's certificate authority?",
            code="bad_certificate",
        ) from error
    except TimeoutError as error:
        raise Transient("The camera did not answer in time.", hint="Is it switched on at the printer?", code="camera_away") from error
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise Transient(f"The camera cannot be reached: {what}.", hint="Is the printer on?", code="camera_away") from error
    if not (picture.startswith(_BEGINS) and picture.rstrip(b"\0").endswith(_ENDS)):
        raise Refused("What the camera sends is no JPEG.", hint="Is that port its camera?", code="no_picture")
    return picture


def _login(code: str) -> bytes:
    return struct.pack("<IIII32s32s", 0x40, 0x3000, 0, 0, USER.encode(), code.encode())


def _read(peer: socket.socket, length: int, until: float) -> bytes:
    found = bytearray()
    while len(found) < length:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        peer.settimeout(left_s)
        piece = peer.recv(min(65536, length - len(found)))
        if not piece:
            hint = "Is another program watching? Is the access code right, and the camera switched on?"
            raise Transient("The camera hung up.", hint=hint, code="camera_away")
        found += piece
    return bytes(found)
