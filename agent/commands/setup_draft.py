"""What `setup` is about to write: raw values and secrets, from answers; and the text of each file."""

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from agent.config.writing import config_text, printer_text

SECRETS = ("token", "api_key", "access_code", "mqtt_password", "password")
"""Options that an answer may give as they are: each is put into a file of its own, and the option <name>_file names it."""
_NOT_OURS = ("printers", "setup")
CREDENTIALS = "$CREDENTIALS_DIRECTORY/secret_"
PRIVATE, PUBLIC = 0o600, 0o644


@dataclass
class Draft:
    """`config` None: the file that is there stays. `printers`: by name. `secrets`: by the name of the file below secrets/.

    `for_service`: systemd hands the secrets over, as $CREDENTIALS_DIRECTORY/secret_<file> (systemd/README.md).
    """

    config: dict[str, Any] | None
    printers: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    for_service: bool = False

    def files(self) -> Iterator[tuple[Path, str, int]]:
        """Path below the configuration's folder, text and mode; secrets first, config.toml last: it is what makes the others count."""
        for name, secret in self.secrets.items():
            yield Path("secrets", name), secret + "\n", PRIVATE
        for name, values in self.printers.items():
            yield Path("printers", f"{name}.toml"), printer_text(values), PUBLIC
        if self.config is not None:
            yield Path("config.toml"), config_text(self.config), PUBLIC

    def put_secret(self, name: str, secret: str) -> str:
        """Its path as config.toml names it."""
        file = _apart(re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:100] or "secret", self.secrets)
        self.secrets[file] = secret
        return f"{CREDENTIALS}{file}" if self.for_service else f"secrets/{file}"

    def add_printer(self, values: Mapping[str, Any]) -> str:
        """From a printer's options, of which a secret may stand there as it is. The name of its file."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(values.get("name", ""))).strip(".-")[:64]
        file = _apart(name or "printer", self.printers)
        self.printers[file] = self._without_secrets(values, file, "../")
        return file

    def _without_secrets(self, values: Mapping[str, Any], of: str, prefix: str = "") -> dict[str, Any]:
        kept = {name: value for name, value in values.items() if name not in SECRETS or not isinstance(value, str)}
        for name in SECRETS:
            if isinstance(secret := values.get(name), str):
                path = self.put_secret(f"{of}.{name.replace('_', '-')}", secret)
                kept[f"{name}_file"] = path if self.for_service else prefix + path
        return kept

    def add(self, table: str, values: Mapping[str, Any]) -> None:
        """A table of config.toml; of marketplaces one more."""
        assert self.config is not None, "config.toml is to be written"
        kept = self._without_secrets(values, str(values.get("name", table)))
        if table == "marketplaces":
            self.config.setdefault(table, []).append(kept)
        else:
            self.config[table] = kept


def _apart(name: str, taken: Container[str]) -> str:
    """Two of one name are a mistake that is told; neither is to be lost before."""
    return next(each for n in count(1) if (each := name if n == 1 else f"{name}-{n}") not in taken)


def draft_of(answers: Mapping[str, Any], *, for_service: bool = False) -> Draft:
    """Answers are tables as in config.toml, and [[printers]] as in a printer's file; what they mean is for loading them to say."""
    draft = Draft({}, for_service=for_service)
    for name, value in answers.items():
        if name == "marketplaces" and isinstance(value, list):
            for market in value:
                draft.add(name, market if isinstance(market, dict) else {"kind": market})
        elif name not in _NOT_OURS:
            draft.add(name, value) if isinstance(value, dict) else draft.config.update({name: value})  # type: ignore[union-attr]
    for printer in answers.get("printers", []):
        draft.add_printer(printer)
    return draft
