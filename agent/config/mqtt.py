"""[mqtt]: the dashboard in Home Assistant, or wherever else MQTT is read."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from agent.config.secrets import Secret, SecretEnv, SecretFile, one_source
from agent.config.values import Number, PathOption, Section, Whole, text_of

_SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


def _prefix(value: object) -> str:
    """Levels of a topic, each of what Home Assistant takes for one."""
    expected = "letters, digits, '_' and '-', with '/' between levels"
    text = text_of(value, expected)
    if len(text) > 100 or not all(level and set(level) <= set(_SIGNS) for level in text.split("/")):
        raise ValueError(expected)
    return text


Prefix = Annotated[str, BeforeValidator(_prefix)]


class MqttSettings(Section):
    """The dashboard, over MQTT: Home Assistant finds the agent and each printer by itself; anything else reads the plain topics."""

    host: str = Field(min_length=1, max_length=253, description="The broker.", examples=["homeassistant.local"])
    port: Whole = Field(1883, ge=1, le=65_535, description="Its port; with tls mostly 8883.")
    tls: bool = Field(
        False,
        description="true: the connection is kept secret, and the broker's certificate is checked. Not set: all is sent in the clear, the "
        "password too.",
        examples=[True],
    )
    ca_file: PathOption | None = Field(
        None,
        description="The certificate of the broker's own authority, as PEM. Not set: those the system trusts.",
        examples=["secrets/broker-ca.pem"],
    )
    username: str | None = Field(None, description="The user name. Not set: the broker wants none.", examples=["intagly"])
    password_file: SecretFile | None = Field(
        None,
        description='The file with the password. Under systemd: "$CREDENTIALS_DIRECTORY/mqtt". Not set: the broker wants none.',
        examples=["secrets/mqtt"],
    )
    password_env: SecretEnv | None = Field(
        None, description="Instead of password_file: the environment variable with the password.", examples=["MQTT_PASSWORD"]
    )
    version: Literal["3.1.1", "5"] = Field("5", description="Of MQTT: 5 | 3.1.1, for a broker that does not know 5.")
    prefix: Prefix = Field("intagly", description="What all topics begin with; then comes the agent's name.")
    discovery_prefix: Prefix = Field("homeassistant", description="Where Home Assistant looks for devices.")
    language: Literal["en", "de"] = Field("en", description="Of what Home Assistant shows: en | de. Topics and their values stay the same.")
    commands: bool = Field(
        False,
        description="true: buttons and switches work, for everybody who may publish on the broker: they pause and cancel prints, answer "
        "offers and say that a bed is clear. false: the dashboard only shows.",
    )
    picture_s: Number = Field(
        60.0, ge=0, le=86_400, description="How often the camera's picture is sent while a printer prints for the agent. 0: never."
    )

    @field_validator("ca_file")
    @classmethod
    def _only_with_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        """Else somebody would think that the connection is kept secret."""
        if value is not None and info.data.get("tls") is False:
            raise ValueError("tls = true beside it")
        return value

    @field_validator("password_env")
    @classmethod
    def _one_password(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        return one_source("password", info, value, required=False)

    @property
    def password(self) -> Secret | None:
        return self.password_file or self.password_env
