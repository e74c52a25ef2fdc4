"""A folder with a configuration, as an operator would have it."""

from collections.abc import Mapping
from pathlib import Path

from agent.config.load import load
from agent.config.mistakes import BadConfiguration, Mistake
from agent.config.model import Settings

OCTOPRINT = 'kind = "octoprint"\nurl = "http://octopi.local"\napi_key_file = "../secrets/key"\nprofile = "prusa-mk3s"\n'
VIRTUAL = 'name = "v"\nkind = "virtual"\nprofile = "ender3"\n'
MARKETPLACE = '[[marketplaces]]\nkind = "operator_api"\nname = "intagly"\nurl = "https://market.example/v1"\ntoken_file = "secrets/token"\n'
HOT = '[[marketplaces]]\nkind = "hot_folder"\nname = "w"\npath = "inbox"\n'


class Folder:
    """config.toml, printers/ and secrets/. Nothing of this process's own environment is seen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ: dict[str, str] = {}
        self.overrides: dict[str, str] = {}
        self.secret("token", "the token")
        self.secret("key", "the key")

    def config(self, text: str | bytes) -> "Folder":
        self._write("config.toml", text)
        return self

    def printer(self, name: str, text: str | bytes) -> "Folder":
        self._write(f"printers/{name}.toml", text)
        return self

    def secret(self, name: str, text: str | bytes, mode: int = 0o600) -> "Folder":
        self._write(f"secrets/{name}", text).chmod(mode)
        return self

    def env(self, variables: Mapping[str, str]) -> "Folder":
        self.environ.update(variables)
        return self

    def command_line(self, options: Mapping[str, str]) -> "Folder":
        self.overrides.update(options)
        return self

    def load(self) -> Settings:
        return load(self.path / "config.toml", self.overrides, self.environ)

    def mistakes(self) -> list[Mistake]:
        """Those that loading tells; none where it loads."""
        try:
            self.load()
        except BadConfiguration as bad:
            return bad.mistakes
        return []

    def told(self) -> list[str]:
        """The mistakes as a person reads them, with paths from this folder on."""
        return [str(mistake).replace(f"{self.path}/", "") for mistake in self.mistakes()]

    def _write(self, name: str, text: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path
