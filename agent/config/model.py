"""config.toml: every section and option, described once. config.example.toml is made from this, and so are the mistakes.

Lengths of time are in the unit the name ends in. Relative paths are relative to the file they are written in; those from the environment
and the command line, to config.toml.
"""

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from agent.config.acceptance import AcceptanceSettings
from agent.config.backup import BackupSettings
from agent.config.costs import CostSettings
from agent.config.labels import LabelSettings
from agent.config.mailbox import MailboxSettings
from agent.config.metrics import MetricsSettings
from agent.config.mqtt import MqttSettings
from agent.config.notifications import NotificationSettings
from agent.config.online import OnlineSettings
from agent.config.printer import PrinterSettings
from agent.config.retention import RetentionSettings
from agent.config.schedule import ScheduleSettings
from agent.config.secrets import Secret, SecretFile, TokenEnv, TokenFile, one_source
from agent.config.supplies import SupplySettings
from agent.config.values import (
    ColorOption,
    DatabaseUrl,
    FolderOption,
    HttpUrl,
    NamedColor,
    NameOption,
    Number,
    PathOption,
    Section,
    Whole,
    check_database,
)
from agent.config.web import WebSettings
from agent.domain.offer import Supports
from agent.workflow.poses import Orient


class AgentSettings(Section):
    """The agent itself."""

    name: NameOption = Field(
        "agent", description="What this agent is called in messages.", examples=["garage"], json_schema_extra={"shown": True}
    )
    data_dir: PathOption = Field(
        Path("/var/lib/intagly-agent"), description="Where the ledger, models, G-code, photos and labels are kept."
    )
    printers_dir: PathOption = Field(Path("printers"), description="The folder of the printers' files. Every *.toml in it is a printer.")


class LedgerSettings(Section):
    """The database that orders are kept in."""

    url: DatabaseUrl = Field(
        SecretStr(""), description="Empty: SQLite in data_dir. postgresql+psycopg://user@host/database for more than one machine."
    )
    url_file: SecretFile | None = Field(
        None, description="Instead of url, where it holds a password: the file with it.", examples=["secrets/ledger"]
    )

    @field_validator("url_file")
    @classmethod
    def _not_both(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        if value is not None and info.data.get("url", SecretStr("")).get_secret_value():
            raise ValueError("url or url_file, not both")
        if value is not None:
            check_database(value.reveal())
        return value

    @property
    def address(self) -> SecretStr:
        """The database's address, from wherever it was given; empty for SQLite in data_dir."""
        return self.url_file.value if self.url_file else self.url


class OperatorApiSettings(Section):
    """A marketplace on the network, over the Operator API."""

    kind: Literal["operator_api"] = Field(description="operator_api | hot_folder | mailbox")
    name: NameOption = Field(description="What this marketplace is called in orders and messages.", examples=["intagly"])
    url: HttpUrl = Field(description="The address of the API.", examples=["https://marketplace.example/operator/v1"])
    token_file: TokenFile | None = Field(
        None,
        description='The file with the access token. Under systemd: "$CREDENTIALS_DIRECTORY/secret_token".',
        examples=["secrets/token"],
        json_schema_extra={"shown": True},
    )
    token_env: TokenEnv | None = Field(
        None, description="Instead of token_file: the environment variable with the token.", examples=["INTAGLY_TOKEN"]
    )
    poll_interval_s: Number = Field(5.0, ge=0.1, le=600, description="Offers are asked for this often.")

    @field_validator("token_env")
    @classmethod
    def _one_token(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        return one_source("token", info, value, required=True)

    @property
    def token(self) -> Secret:
        secret = self.token_file or self.token_env
        assert secret is not None, "validation lets none through without"
        return secret


class HotFolderSettings(Section):
    """A folder that is watched: <name>.toml (an order) beside its models (STL, 3MF, OBJ), or a model alone, printed as told below."""

    kind: Literal["hot_folder"] = Field(description="operator_api | hot_folder | mailbox")
    name: NameOption = Field(description="What this marketplace is called in orders and messages.", examples=["walk-in"])
    path: PathOption = Field(
        description="The folder; under systemd, one in data_dir. Files are moved away from it when they are taken.", examples=["inbox"]
    )
    still_s: Number = Field(2.0, ge=0.1, le=600, description="A file is taken once it has not changed for this long.")
    material: str = Field("PLA", min_length=1, max_length=40, description="For a model alone: its material.")
    color: NamedColor = Field(ColorOption(name="black"), description="For a model alone: its colour.")
    infill_percent: Whole = Field(15, ge=0, le=100, description="For a model alone: its infill.")
    supports: Supports = Field(
        Supports.OPERATOR, description="For a model alone: no | yes | operator (supports where the slicer finds them needed)."
    )
    accept_within_s: Number = Field(900.0, gt=0, le=604_800, description="How long an order may wait for an answer in mode ask.")


Marketplace = Annotated[OperatorApiSettings | HotFolderSettings | MailboxSettings, Field(discriminator="kind")]


class SlicingSettings(Section):
    """How models become G-code."""

    workers: Whole = Field(1, ge=1, le=64, description="How many slicers run at once.")
    timeout_s: Number = Field(900.0, ge=1, le=86_400, description="A slicer that takes longer than this is ended.")
    memory_mb: Whole = Field(2048, ge=256, le=1_048_576, description="The most memory (address space) one slicer may have.")
    orient: Orient = Field(
        Orient.PROPOSE,
        description="For a model that stands badly and was ordered without supports. propose: a better side is named | apply: it is "
        "printed on that side.",
    )
    prusaslicer: str = Field("prusa-slicer", min_length=1, description="The PrusaSlicer program: a name on the PATH, or its whole path.")
    curaengine: str = Field("CuraEngine", min_length=1, description="The CuraEngine program: a name on the PATH, or its whole path.")
    cura_definitions: FolderOption | None = Field(
        None,
        description="The folder with Cura's definitions/ and extruders/. Not set: where Cura or scripts/cura-definitions.sh puts them.",
        examples=["cura"],
    )
    orcaslicer: str = Field("orca-slicer", min_length=1, description="The OrcaSlicer program: a name on the PATH, or its whole path.")
    bambustudio: str = Field("bambu-studio", min_length=1, description="The Bambu Studio program: a name on the PATH, or its whole path.")
    profiles_dir: FolderOption | None = Field(
        None,
        description="Your own slicer profiles, one folder a printer model. Not set: the ones that come with the agent.",
        examples=["slicer_profiles"],
    )


class PrintingSettings(Section):
    """The printers together."""

    heat_at_once: Whole | None = Field(
        None,
        ge=1,
        le=1000,
        description="So many printers may warm up at the same time; the next one starts when one of them is warm. Not set: all.",
        examples=[2],
    )


class FileSettings(Section):
    """Customers' files and the disk."""

    max_file_mb: Whole = Field(256, ge=1, le=10_000, description="A bigger model is not fetched.")
    keep_free_mb: Whole = Field(
        500, ge=0, le=1_048_576, description="Nothing is fetched or sliced while less than this is free on the disk of data_dir."
    )


_layers: ContextVar[tuple[dict[str, Any], ...]] = ContextVar("layers", default=())
"""Trees of raw values, the first winning, table by table. Not a subclass for each load: pydantic would build its schema anew."""


class Settings(BaseSettings):
    """Everything in config.toml, and the printers of printers_dir. Made by `agent.config.load.load`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=True)

    agent: AgentSettings = AgentSettings()
    ledger: LedgerSettings = LedgerSettings()
    marketplaces: list[Marketplace] = []
    acceptance: AcceptanceSettings = AcceptanceSettings()
    online: OnlineSettings = OnlineSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    slicing: SlicingSettings = SlicingSettings()
    printing: PrintingSettings = PrintingSettings()
    files: FileSettings = FileSettings()
    retention: RetentionSettings = RetentionSettings()
    backup: BackupSettings = BackupSettings()
    labels: LabelSettings = LabelSettings()
    supplies: SupplySettings = SupplySettings()
    costs: CostSettings = CostSettings()
    web: WebSettings = WebSettings()
    metrics: MetricsSettings = MetricsSettings()
    mqtt: MqttSettings | None = None
    notifications: NotificationSettings = NotificationSettings()

    _printers: list[PrinterSettings] = PrivateAttr(default_factory=list)
    _warnings: list[str] = PrivateAttr(default_factory=list)
    _file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """The config.toml this was read from; None where it was read from none."""
        return self._file

    @property
    def printers(self) -> list[PrinterSettings]:
        """One for each file in printers_dir, by file name."""
        return self._printers

    @property
    def warnings(self) -> list[str]:
        """What is no mistake and yet should be mended."""
        return self._warnings

    def completed(self, printers: list[PrinterSettings], warnings: list[str], file: Path) -> Self:
        """These settings with what was read from other files. `file`: their own."""
        self._printers, self._warnings, self._file = printers, warnings, file
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the loader reads the environment: it can say where a mistake stands
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, *(InitSettingsSource(settings_cls, init_kwargs=layer) for layer in _layers.get()))


def layered(*layers: dict[str, Any]) -> Settings:
    """Settings from several trees of raw values, the first winning. pydantic.ValidationError with everything that is wrong."""
    token = _layers.set(layers)
    try:
        return Settings()
    finally:
        _layers.reset(token)
