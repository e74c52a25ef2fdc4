"""printers/<name>.toml: one file a printer, every option described once."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from agent.config.secrets import Secret, SecretEnv, SecretFile, TokenEnv, TokenFile, one_source
from agent.config.values import (
    Host,
    HttpQueryUrl,
    HttpUrl,
    MoneyOption,
    NamedColor,
    NameOption,
    Number,
    PathOption,
    Section,
    Serial,
    UrlForm,
    Whole,
)
from agent.domain.printer import LoadedMaterial

_NAME = "What this printer is called. No other printer has this name."
_PROFILE = "The printer's model: a folder of slicer_profiles/, or of [slicing] profiles_dir."
_KIND = "octoprint | moonraker | bambu | virtual"


class MaterialSettings(Section):
    """A spool on the printer. An order is printed only where its material and colour are loaded. Repeat for each spool."""

    material: str = Field(min_length=1, max_length=40, description="PLA, PETG, …: as orders and the profile name it.", examples=["PLA"])
    color: NamedColor = Field(
        description="The colour as orders name it, and its hex value: which decides where the order has one too: [schedule] color_limit.",
        examples=[{"name": "black", "hex": "#1a1a1a"}],
    )
    remaining_g: Number | None = Field(
        None,
        ge=0,
        description="Grams on the spool when you write this. What is printed is counted down from it; another number here is counted from "
        "anew. Not set: not tracked.",
        examples=[800],
        json_schema_extra={"shown": True},
    )
    price_per_kg: MoneyOption | None = Field(
        None, description="What a kilogram of it cost you. Not set: [costs] filament_per_kg.", examples=["22.00 EUR"]
    )

    def value(self) -> LoadedMaterial:
        return LoadedMaterial(material=self.material, color=self.color.value(), remaining_g=self.remaining_g)


class _PrinterFile(Section):
    name: NameOption = Field(description=_NAME, examples=["mk3s"])
    profile: NameOption = Field(description=_PROFILE, examples=["prusa-mk3s"])
    slicer: Literal["prusaslicer", "curaengine", "orcaslicer", "bambustudio"] = Field(
        "prusaslicer", description="The program that makes its G-code."
    )
    bed_clearing: Literal["confirm", "automatic"] = Field(
        "confirm",
        description="confirm: a person says that the bed is free | automatic: the printer clears its own bed, "
        "as its profile.toml tells under clears_bed.",
    )
    bed_cool_c: Number = Field(
        45.0, ge=0, le=200, description="°C. After a print nobody is called to a bed that is warmer than this. 0: called at once."
    )
    power_w: Number | None = Field(
        None,
        ge=0,
        le=100_000,
        description="Watts it takes on average while it prints. Not set: [costs] power_w.",
        examples=[110],
    )
    materials: list[MaterialSettings] = Field([], description="The spools that are loaded. Not set: none, and nothing is printed.")

    def loaded(self) -> list[LoadedMaterial]:
        """The spools in the product's own words."""
        return [material.value() for material in self.materials]


class OctoPrintSettings(_PrinterFile):
    """A printer behind OctoPrint."""

    kind: Literal["octoprint"] = Field(description=_KIND)
    url: HttpUrl = Field(description="The address of OctoPrint.", examples=["http://octopi.local"])
    api_key_file: TokenFile | None = Field(
        None,
        description="The file with an application key of OctoPrint (in its user settings). "
        'Under systemd: "$CREDENTIALS_DIRECTORY/secret_mk3s.key".',
        examples=["../secrets/mk3s.key"],
        json_schema_extra={"shown": True},
    )
    api_key_env: TokenEnv | None = Field(
        None, description="Instead of api_key_file: the environment variable with the key.", examples=["MK3S_API_KEY"]
    )

    snapshot_url: HttpQueryUrl | None = Field(
        None,
        description="The address of a camera's single picture (JPEG), taken when a print ends or stops. Not set: no pictures.",
        examples=["http://octopi.local/webcam/?action=snapshot"],
    )

    @field_validator("api_key_env")
    @classmethod
    def _one_key(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        return one_source("api_key", info, value, required=True)

    @property
    def api_key(self) -> Secret:
        secret = self.api_key_file or self.api_key_env
        assert secret is not None, "validation lets none through without"
        return secret


class MoonrakerSettings(_PrinterFile):
    """A Klipper printer behind Moonraker. Moonraker's [mqtt] section has to be set up for the same broker: docs/printers.md."""

    name: NameOption = Field(description=_NAME, examples=["voron"])
    kind: Literal["moonraker"] = Field(description=_KIND)
    url: HttpUrl = Field(description="The address of Moonraker, for uploads and pictures.", examples=["http://voron.local:7125"])
    api_key_file: TokenFile | None = Field(
        None, description="The file with Moonraker's API key. Not set: it asks for none.", examples=["../secrets/voron.key"]
    )
    api_key_env: TokenEnv | None = Field(
        None, description="Instead of api_key_file: the environment variable with the key.", examples=["VORON_API_KEY"]
    )
    instance_name: NameOption = Field(
        description="instance_name of Moonraker's [mqtt]; where that has none, the name of the machine it runs on.", examples=["voron"]
    )
    mqtt_host: Host = Field(description="The MQTT broker that Moonraker speaks to.", examples=["homeassistant.local"])
    mqtt_port: Whole = Field(1883, ge=1, le=65535, description="Its port; with TLS usually 8883.")
    mqtt_tls: bool = Field(False, description="true: speak to it through TLS, and check its certificate.")
    mqtt_ca_file: PathOption | None = Field(
        None, description="The certificate authority its certificate is of. Not set: the ones the system knows.", examples=["../ca.crt"]
    )
    mqtt_username: str | None = Field(
        None, min_length=1, max_length=200, description="The user there. Not set: the broker asks for none.", examples=["agent"]
    )
    mqtt_password_file: SecretFile | None = Field(
        None, description="The file with that user's password. Not set: none.", examples=["../secrets/mqtt"]
    )
    mqtt_password_env: SecretEnv | None = Field(
        None, description="Instead of mqtt_password_file: the environment variable with it.", examples=["MQTT_PASSWORD"]
    )
    profile: NameOption = Field(description=_PROFILE, examples=["voron-v0"])

    @field_validator("api_key_env")
    @classmethod
    def _one_key(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        return one_source("api_key", info, value, required=False)

    @field_validator("mqtt_password_env")
    @classmethod
    def _one_password(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        return one_source("mqtt_password", info, value, required=bool(info.data.get("mqtt_username")))

    @property
    def api_key(self) -> str:
        """Empty: none."""
        return _revealed(self.api_key_file or self.api_key_env)

    @property
    def mqtt_password(self) -> str:
        """Empty: none."""
        return _revealed(self.mqtt_password_file or self.mqtt_password_env)


class BambuSettings(_PrinterFile):
    """A Bambu Lab printer in LAN mode with Developer Mode on: docs/printers.md. Not seen on hardware."""

    name: NameOption = Field(description=_NAME, examples=["p1s"])
    kind: Literal["bambu"] = Field(description=_KIND)
    host: Host = Field(description="Its address in the network.", examples=["192.168.1.50"])
    serial: Serial = Field(description="Its serial number, in capitals as the printer shows it.", examples=["01P00A000000001"])
    access_code_file: TokenFile | None = Field(
        None,
        description="The file with the access code that the printer shows in its network settings. "
        "It changes when LAN or Developer Mode is switched.",
        examples=["../secrets/p1s.code"],
        json_schema_extra={"shown": True},
    )
    access_code_env: TokenEnv | None = Field(
        None, description="Instead of access_code_file: the environment variable with it.", examples=["P1S_ACCESS_CODE"]
    )
    ca_file: PathOption = Field(
        description="Bambu Lab's certificate authority (PEM), by which the printer proves its serial: docs/printers.md.",
        examples=["../bambu-ca.pem"],
    )
    model: Literal["P1P", "P1S", "X1C", "X1E", "A1", "A1 mini", "P2S", "H2D"] = Field(
        description="P1P | P1S | X1C | X1E | A1 | A1 mini | P2S | H2D. Only G-code made for this model is sent.", examples=["P1S"]
    )
    url_form: UrlForm = Field(
        "ftp:///{file}",
        description="How a print is named to the printer. Firmwares differ: where a start ends in 'bad path', try file:///sdcard/{file}.",
    )
    use_ams: bool = Field(True, description="false: print from the spool holder, also where an AMS is there.")
    mqtt_port: Whole = Field(8883, ge=1, le=65535, description="The printer's own, unless something stands between.")
    ftps_port: Whole = Field(990, ge=1, le=65535, description="The printer's own, unless something stands between.")
    camera_port: Whole = Field(6000, ge=1, le=65535, description="The printer's own, unless something stands between.")
    profile: NameOption = Field(description=_PROFILE, examples=["bambu-p1s"])

    @field_validator("access_code_env")
    @classmethod
    def _one_code(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        return one_source("access_code", info, value, required=True)

    @property
    def access_code(self) -> str:
        return _revealed(self.access_code_file or self.access_code_env)


def _revealed(secret: Secret | None) -> str:
    return "" if secret is None else secret.reveal()


class VirtualSettings(_PrinterFile):
    """No printer: it takes the time that the G-code would take, and prints nothing. For trying things out, without real orders."""

    name: NameOption = Field(description=_NAME, examples=["virtual"])
    kind: Literal["virtual"] = Field(description=_KIND)
    speed: Number = Field(60.0, gt=0, le=1_000_000, description="This many times faster than a real printer.")


PrinterSettings = Annotated[OctoPrintSettings | MoonrakerSettings | BambuSettings | VirtualSettings, Field(discriminator="kind")]
