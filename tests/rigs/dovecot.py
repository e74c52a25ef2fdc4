"""A real dovecot with TLS, as this user and with a configuration of its own; the system's service is neither used nor touched.

Mails are delivered as any mail server does it: written into the maildir under another name, then moved to where new mails lie.
"""

import contextlib
import grp
import itertools
import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.rigs.klipper_certificates import make_certificates
from tests.rigs.processes import Server, free_port

PROGRAM = shutil.which("dovecot", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
USER, PASSWORD = "shop@example.org", "pass “wörd”"
_OWNER = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.getuid())
"""Whom it runs as: it gives nobody the mails of root."""
_NO_IDLE = "imap_capability = IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE LITERAL+\n"


class Dovecot:
    """It keeps its ports over restarts. `port`: TLS from the start; `plain_port`: STARTTLS. `folder` is made, and removed by `remove`."""

    def __init__(self, *, idle: bool = True, plain_text_login: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dovecot-"))  # a test's own folder may be closed to the other user
        self._server = Server(self.folder / "output.txt")
        self._names = itertools.count(1)
        self.port, self.plain_port = free_port(), free_port()
        self.maildir = self.folder / "mail"
        self.ca_file = make_certificates(self.folder)
        (self.folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}:{_OWNER.pw_uid}:{_OWNER.pw_gid}::{self.folder}::\n")
        (self.folder / "dovecot.conf").write_text(self._config(idle, plain_text_login))
        for part in ("cur", "new", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, _OWNER.pw_uid, _OWNER.pw_gid)

    def _config(self, idle: bool, plain_text_login: bool) -> str:
        user, group = _OWNER.pw_name, grp.getgrgid(_OWNER.pw_gid).gr_name
        return f"""\
protocols = imap
listen = 127.0.0.1
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/dovecot.log
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 0
first_valid_gid = 0
ssl = yes
ssl_cert = <{self.folder}/server.pem
ssl_key = <{self.folder}/server.key
disable_plaintext_auth = {"no" if plain_text_login else "yes"}
auth_mechanisms = plain login
mail_location = maildir:{self.maildir}
mailbox_idle_check_interval = 1 s
{"" if idle else _NO_IDLE}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {self.folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {self.folder}/users
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.plain_port}
  }}
  inet_listener imaps {{
    port = {self.port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""

    def start(self) -> None:
        assert PROGRAM is not None, "dovecot is not installed"
        command = [PROGRAM, "-F", "-c", str(self.folder / "dovecot.conf")]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={_OWNER.pw_uid}", f"--regid={_OWNER.pw_gid}", "--clear-groups", *command]
        self._server.start(command)
        self._server.wait_for("127.0.0.1", self.plain_port, b"* OK")

    def stop(self) -> None:
        self._server.stop()

    def deliver(self, mail: bytes) -> Path:
        """As a delivery agent does it."""
        name = f"{time.time_ns()}.{next(self._names)}.test"
        path = self.maildir / "tmp" / name
        path.write_bytes(mail)
        os.chown(path, _OWNER.pw_uid, _OWNER.pw_gid)
        return path.rename(self.maildir / "new" / name)

    def renumber(self) -> None:
        """Every mail gets another UID, under another UIDVALIDITY, as after a restore. Stop it before."""
        mails = [path for part in ("new", "cur") for path in (self.maildir / part).iterdir()]
        before = int((self.maildir / "dovecot-uidlist").read_text().split(" V", 1)[1].split(" ", 1)[0])
        for path in self.maildir.glob("dovecot*"):
            path.unlink()
        while time.time() < before + 1:  # it takes the second it begins in for a number
            time.sleep(0.05)
        for path in mails:
            path.rename(self.maildir / "new" / path.name.partition(":")[0])

    def flags(self) -> list[str]:
        """Of every mail; a mail nobody touched has none, though it may have been moved out of new/."""
        return [path.name.partition(":2,")[2] for part in ("new", "cur") for path in (self.maildir / part).iterdir()]

    def log(self) -> str:
        path = self.folder / "dovecot.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def remove(self) -> None:
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def running_dovecot(*, idle: bool = True, plain_text_login: bool = False) -> Iterator[Dovecot]:
    server = Dovecot(idle=idle, plain_text_login=plain_text_login)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        server.remove()
