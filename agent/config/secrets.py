"""Secrets never stand in the configuration: an option names a file, or an environment variable, that holds one.

`token_file = "$CREDENTIALS_DIRECTORY/token"` names a credential that systemd hands over (systemd.exec(5), LoadCredential). The secret is
read while the configuration is, so that a missing one is told with all other mistakes.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

from agent.config.values import located, reading, text_of

_CREDENTIALS = "$CREDENTIALS_DIRECTORY/"
_LONGEST_BYTES = 64 * 1024
_LONG_RUN = re.compile(r"[A-Za-z0-9+=_-]{16,}")


@dataclass(frozen=True)
class Secret:
    """A secret and where it was found. Neither its text nor its repr holds it; `reveal` does."""

    source: str
    value: SecretStr

    def reveal(self) -> str:
        return self.value.get_secret_value()


def _from_file(value: object) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    given = text_of(value, "the path of a file with the secret")
    if not reading().needs_secrets and not _is_here(given):
        return Secret(given, SecretStr(""))
    path = _secret_path(given)
    try:
        content, mode = _read(path)
    except OSError as error:
        told = error.strerror if looks_secret(given) else f"{error.strerror}: {path}"
        raise ValueError(f"a file that can be read ({told})") from None
    except UnicodeDecodeError:
        raise ValueError(f"a text file in UTF-8 ({path})") from None
    if mode & stat.S_IROTH:
        reading().warnings.append(f"{path} holds a secret and can be read by everybody on this machine: chmod 600 {path}")
    return _secret(str(path), content)


def _read(path: Path) -> tuple[str, int]:
    """Text and mode. ValueError where it is no plain file, or too long for any secret."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"a plain file ({path})")
    with path.open("rb") as file:
        content = file.read(_LONGEST_BYTES + 1)
    if len(content) > _LONGEST_BYTES:
        raise ValueError(f"a file of at most {_LONGEST_BYTES // 1024} kB ({path})")
    return content.decode("utf-8-sig"), mode


def _secret_path(text: str) -> Path:
    if not text.startswith(_CREDENTIALS):
        return located(text)
    directory = reading().environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ValueError("$CREDENTIALS_DIRECTORY to be set, which systemd does for LoadCredential= in the unit")
    return Path(directory) / text.removeprefix(_CREDENTIALS)


def _is_here(text: str) -> bool:
    """Whether this process could read that secret at all."""
    if text.startswith(_CREDENTIALS) and not reading().environ.get("CREDENTIALS_DIRECTORY"):
        return False
    return os.access(_secret_path(text), os.R_OK)


def looks_secret(text: str) -> bool:
    """True for a value that may be the secret itself, where its file or variable should be named: such a value is never told."""
    return not text.startswith(("/", "~", ".", "$")) and any(re.search("[0-9]", run) for run in _LONG_RUN.findall(text))


def _from_environment(value: object) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    expected = "the name of an environment variable, in capitals"
    name = text_of(value, expected)
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,127}", name):
        raise ValueError(expected)
    if name not in reading().environ and not reading().needs_secrets:
        return Secret(f"${name}", SecretStr(""))
    if name not in reading().environ:
        raise ValueError("an environment variable that is set")
    return _secret(f"${name}", reading().environ[name])


def _secret(source: str, content: str) -> Secret:
    if not content.strip():
        raise ValueError(f"a secret in {source}, which is empty")
    return Secret(source, SecretStr(content.strip()))


def _for_a_header(secret: Secret) -> Secret:
    """A token goes into a line of HTTP."""
    if not (secret.reveal().isascii() and secret.reveal().isprintable()):
        raise ValueError(f"one line of plain ASCII in {secret.source}")
    return secret


SecretFile = Annotated[Secret, BeforeValidator(_from_file)]
SecretEnv = Annotated[Secret, BeforeValidator(_from_environment)]
TokenFile = Annotated[SecretFile, AfterValidator(_for_a_header)]
TokenEnv = Annotated[SecretEnv, AfterValidator(_for_a_header)]


def one_source(secret: str, info: ValidationInfo, env: Secret | None, *, required: bool) -> Secret | None:
    """The check of a `<secret>_env` option, declared after its `<secret>_file`: not both, and one where one is needed."""
    if f"{secret}_file" not in info.data:
        return env  # that option has a mistake of its own
    given = [value for value in (info.data[f"{secret}_file"], env) if value is not None]
    if len(given) > 1:
        raise ValueError(f"{secret}_file or {secret}_env, not both")
    if required and not given:
        raise ValueError(f"{secret}_file or {secret}_env")
    return env
