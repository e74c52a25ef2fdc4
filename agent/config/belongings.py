"""The files that a configuration consists of: what a backup of it has to hold."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agent.config.model import Settings
from agent.config.secrets import Secret


def files_of(settings: Settings, *, secrets: bool) -> dict[str, Path]:
    """Where a file goes, relative to config.toml -> where it lies. `secrets`: also the files with tokens, keys and passwords; those in
    environment variables are not to be had as files."""
    if settings.file is None:
        return {}
    folder = settings.file.parent
    found = {settings.file.name: settings.file}
    if settings.agent.printers_dir.is_dir():
        found |= {f"printers/{path.name}": path for path in sorted(settings.agent.printers_dir.glob("*.toml"))}
    for path in sorted(_secret_files(settings)) if secrets else ():
        inside = Path(os.path.normpath(path)).is_relative_to(folder)
        found[os.path.relpath(path, folder) if inside else f"secrets-from-elsewhere{os.path.normpath(path)}"] = path
    return found


def _secret_files(settings: Settings) -> set[Path]:
    held = (secret for part in (settings, *settings.printers) for secret in _secrets(part))
    return {Path(secret.source) for secret in held if secret.source.startswith("/")}


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, list):
        for part in value:
            yield from _secrets(part)
