"""A real vsftpd with implicit TLS, as an X1 has: stricter than pyftpdlib about session reuse and about how a data channel ends.

It wants users that the system knows. Its process gets a view of the file system of its own (`unshare --mount`: root only), in which
/etc/passwd, /etc/shadow and /etc/pam.d are ours; the system's own are not touched. (PAM's pam_exec hangs inside vsftpd.)
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.rigs.processes import Server

PROGRAM = shutil.which("vsftpd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
_USER, _ID = "bblp", 64_999
_HOME = "/srv"  # where that process sees the card: its user may not walk through a test's folders
_PAM = "auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n"
_HIDE = """mount --bind "$1/pam" /etc/pam.d && mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow &&
mount --bind "$2" "$3" && exec "$4" "$1/vsftpd.conf"
"""
# vsftpd's own options cannot cap TLS at 1.2 as the printers do.
_OPENSSL = """openssl_conf = all
[all]
ssl_conf = parts
[parts]
system_default = tls
[tls]
MinProtocol = TLSv1.2
MaxProtocol = TLSv1.2
"""


def can_run() -> bool:
    return os.geteuid() == 0 and PROGRAM is not None and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


class Vsftpd:
    """It keeps its port over restarts. `chain` and `key`: PEM files."""

    def __init__(self, folder: Path, address: tuple[str, int], card: Path, chain: Path, key: Path, code: str) -> None:
        self._folder, self._card, self._address = folder, card, address
        self._server = Server(folder / "output.txt")
        (folder / "empty").mkdir(parents=True, exist_ok=True)
        (folder / "pam").mkdir(exist_ok=True)
        (folder / "pam" / "vsftpd").write_text(_PAM)
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=code, capture_output=True, text=True, check=True
        ).stdout.strip()
        (folder / "passwd").write_text(
            f"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n{_USER}:x:{_ID}:{_ID}::{_HOME}:/bin/sh\n"
        )
        (folder / "shadow").write_text(f"{_USER}:{hashed}:19000:0:99999:7:::\n")
        (folder / "openssl.cnf").write_text(_OPENSSL)
        (folder / "vsftpd.conf").write_text("\n".join(self._config(chain, key)) + "\n")

    def _config(self, chain: Path, key: Path) -> list[str]:
        host, port = self._address
        return [
            "listen=YES",
            "background=NO",
            f"listen_address={host}",
            f"listen_port={port}",
            "anonymous_enable=NO",
            "local_enable=YES",
            "write_enable=YES",
            "chroot_local_user=YES",
            "allow_writeable_chroot=YES",
            f"secure_chroot_dir={self._folder / 'empty'}",
            "pam_service_name=vsftpd",
            "ssl_enable=YES",
            "implicit_ssl=YES",
            "require_ssl_reuse=YES",
            "force_local_data_ssl=YES",
            "force_local_logins_ssl=YES",
            "ssl_tlsv1=YES",
            "ssl_sslv2=NO",
            "ssl_sslv3=NO",
            "ssl_ciphers=HIGH",
            f"rsa_cert_file={chain}",
            f"rsa_private_key_file={key}",
            "local_umask=022",
            "seccomp_sandbox=NO",
            "xferlog_enable=YES",
            "log_ftp_protocol=YES",
            f"vsftpd_log_file={self._folder / 'vsftpd.log'}",
            "debug_ssl=YES",
        ]

    def start(self) -> None:
        assert PROGRAM is not None, "vsftpd is not installed"
        for folder in (self._card, *(path for path in self._card.rglob("*") if path.is_dir())):
            folder.chmod(0o777)
        places = [self._folder, self._card, _HOME, PROGRAM]
        command = ["unshare", "--mount", "sh", "-c", _HIDE, "sh", *map(str, places)]
        environment = {**os.environ, "OPENSSL_CONF": str(self._folder / "openssl.cnf")}
        self._server.start(command, environment)
        self._server.wait_for(*self._address)

    def stop(self) -> None:
        self._server.stop()

    def log(self) -> str:
        path = self._folder / "vsftpd.log"
        return path.read_text(errors="replace") if path.exists() else ""
