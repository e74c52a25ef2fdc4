"""mosquitto, as the sandbox's servers start it: its programs, its user, its passwords."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from agent.domain.errors import Refused

_PATHS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


def program(name: str) -> str:
    """Debian keeps mosquitto in /usr/sbin, which is not on every PATH."""
    found = shutil.which(name) or shutil.which(name, path=_PATHS)
    if found is None:
        raise Refused(f"The program {name} was not found.", hint="Install the package mosquitto (Debian: apt install mosquitto).")
    return found


def runs_as() -> str:
    """A line of its configuration: started as root it would become another user, who may not read the sandbox's folder."""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name}"


def write_passwords(path: Path, passwords: Mapping[str, str]) -> None:
    """A password file of these users, and no others."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    for user, password in passwords.items():
        subprocess.run([program("mosquitto_passwd"), "-b", str(path), user, password], check=True, capture_output=True)
