"""A job's name on a printer, checked where it becomes a path or an address."""

import re

from agent.domain.errors import Refused

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


def safe(remote_name: str) -> str:
    """The name as it is; Refused where it could mean another file, a folder or a query. domain.job.remote_name makes only safe ones."""
    if not _SAFE.fullmatch(remote_name):
        raise Refused(f"{remote_name!r} is no file name.", hint="This is a fault of the agent; please report it.", code="bad_name")
    return remote_name
