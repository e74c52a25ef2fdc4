"""The chamber camera of an A1 or P1: TLS, a login of 80 bytes, then a picture every second. A wrong code ends in silence."""

import asyncio
import contextlib
import io
import ssl
import struct
from collections.abc import Callable

from PIL import Image, ImageDraw

from agent.sandbox.bambu.broker import CLIENT_USER
from agent.sandbox.bambu.certificates import Certificates

_LOGIN_BYTES = 80
_LOGIN = struct.Struct("<IIII32s32s")
_HEAD = struct.Struct("<IIII")
_MAGIC = (0x40, 0x3000)
_SIZE = (640, 360)


def picture(words: str) -> bytes:
    """A JPEG that starts with FFD8FFE0, as clients look for."""
    image = Image.new("RGB", _SIZE, (40, 44, 52))
    draw = ImageDraw.Draw(image)
    draw.rectangle((220, 120, 420, 300), fill=(200, 80, 40))
    draw.text((20, 20), words, fill=(255, 255, 255))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


class Camera:
    """One viewer at a time, as on a P1S: another one is let in and gets nothing until the first has gone."""

    def __init__(self, access_code: str, files: Certificates, words: Callable[[], str], every_s: float = 1.0) -> None:
        self._code = access_code
        self._words = words
        self._every_s = every_s
        self._one = asyncio.Lock()
        self._viewers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = self._tls.maximum_version = ssl.TLSVersion.TLSv1_2
        self._tls.load_cert_chain(files.chain, files.key)

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._accept, host, port, ssl=self._tls)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.drop()
        await asyncio.gather(*self._viewers, return_exceptions=True)

    def drop(self) -> None:
        """Whoever looks now is cut off."""
        for viewer in self._viewers:
            viewer.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        viewer = asyncio.create_task(self._view(reader, writer))
        self._viewers.add(viewer)
        viewer.add_done_callback(self._viewers.discard)

    async def _view(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                if self._allowed(await reader.readexactly(_LOGIN_BYTES)):
                    async with self._one:
                        await self._show(reader, writer)
            finally:
                writer.close()

    def _allowed(self, login: bytes) -> bool:
        size, kind, _, _, user, code = _LOGIN.unpack(login)
        given = (user.rstrip(b"\0").decode("latin-1"), code.rstrip(b"\0").decode("latin-1"))
        return (size, kind) == _MAGIC and given == (CLIENT_USER, self._code)

    async def _show(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the viewer goes. Each write is a TLS record of its own: clients read the head alone in one."""
        gone = asyncio.create_task(reader.read(1))
        try:
            while not gone.done():
                jpeg = await asyncio.to_thread(picture, self._words())
                writer.write(_HEAD.pack(len(jpeg), 0, 1, 0))
                await writer.drain()
                writer.write(jpeg)
                await writer.drain()
                await asyncio.wait({gone}, timeout=self._every_s)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
