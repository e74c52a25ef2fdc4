"""The printer's MQTT broker: a mosquitto of its own, TLS 1.2, one user for clients and one for the printer's own program."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from agent.domain.errors import Refused
from agent.sandbox.bambu.certificates import Certificates
from agent.sandbox.mosquitto import program, runs_as, write_passwords

CLIENT_USER = "bblp"
PRINTER_USER = "printer"
# mosquitto's tls_version is the lowest it takes; a printer takes no higher one either, and that can be said to OpenSSL alone.
_OPENSSL = """openssl_conf = all
[all]
ssl_conf = parts
[parts]
system_default = tls
[tls]
MinProtocol = TLSv1.2
MaxProtocol = TLSv1.2
"""
_READY_S = 10.0
_LOOK_S = 0.02


def _ends_with_us() -> list[str]:
    """A printer that is killed must not leave a broker on its port. Where there is no setpriv (it is Linux's) it would."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


class Broker:
    """One mosquitto, ended with this process or before. Clients may read the report and write requests, as on the printer."""

    def __init__(self, folder: Path, serial: str, access_code: str, host: str, port: int, files: Certificates) -> None:
        self.host, self.port = host, port
        self.printer_password = secrets.token_hex(16)
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._write(serial, access_code, files)

    async def start(self) -> None:
        """Back when it accepts connections. OSError: the port is taken; Refused: it ended at once (its configuration is not accepted)."""
        socket.create_server((self.host, self.port)).close()
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_ends_with_us(),
                program("mosquitto"),
                "-c",
                str(self._folder / "mosquitto.conf"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OPENSSL_CONF": str(self._folder / "openssl.cnf")},
            )
        until = time.monotonic() + _READY_S
        while time.monotonic() < until and self._process.returncode is None:
            try:
                _, writer = await asyncio.open_connection(self.host, self.port)
            except OSError:
                await asyncio.sleep(_LOOK_S)  # it has no other way to say that it is up
                continue
            writer.close()
            await writer.wait_closed()
            return
        await self.stop()
        raise Refused(f"mosquitto did not come up on {self.host}:{self.port}.", hint=f"Its log: {self._folder / 'mosquitto.log'}")

    async def stop(self) -> None:
        """As when the power goes."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def restart(self) -> None:
        """Drops every connection."""
        await self.stop()
        await self.start()

    def _write(self, serial: str, access_code: str, files: Certificates) -> None:
        passwords, rights = self._folder / "passwords", self._folder / "acl"
        write_passwords(passwords, {CLIENT_USER: access_code, PRINTER_USER: self.printer_password})
        rights.write_text(
            f"user {CLIENT_USER}\ntopic read device/{serial}/report\ntopic write device/{serial}/request\n"
            f"user {PRINTER_USER}\ntopic readwrite device/#\n"
        )
        rights.chmod(0o600)
        (self._folder / "openssl.cnf").write_text(_OPENSSL)
        lines = [
            runs_as(),
            "per_listener_settings true",
            "persistence false",
            "log_dest stdout",
            f"listener {self.port} {self.host}",
            f"certfile {files.chain}",
            f"keyfile {files.key}",
            "tls_version tlsv1.2",
            "allow_anonymous false",
            f"password_file {passwords}",
            f"acl_file {rights}",
        ]
        (self._folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
