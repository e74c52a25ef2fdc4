"""printers/<name>.toml: one file a printer, every option described once."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from agent.config.secrets import Secret, TokenEnv, TokenFile, one_source
from agent.config.values import HttpUrl, NamedColor, NameOption, Number, Section
from agent.domain.printer import LoadedMaterial

_NAME = "What this printer is called. No other printer has this name."


class MaterialSettings(Section):
    """A spool on the printer. An order is printed only where its material and colour are loaded. Repeat for each spool."""

    material: str = Field(min_length=1, max_length=40, description="PLA, PETG, …: as orders and the profile name it.", examples=["PLA"])
    color: NamedColor = Field(
        description="The colour as orders name it. An order with the same hex is printed in it as well.",
        examples=[{"name": "black", "hex": "#1a1a1a"}],
    )
    remaining_g: Number | None = Field(
        None, ge=0, description="Grams on the spool. Not set: not tracked.", examples=[800], json_schema_extra={"shown": True}
    )

    def value(self) -> LoadedMaterial:
        return LoadedMaterial(material=self.material, color=self.color.value(), remaining_g=self.remaining_g)


class _PrinterFile(Section):
    name: NameOption = Field(description=_NAME, examples=["mk3s"])
    profile: NameOption = Field(
        description="The printer's model: a folder of slicer_profiles/, or of [slicing] profiles_dir.", examples=["prusa-mk3s"]
    )
    slicer: Literal["prusaslicer"] = Field("prusaslicer", description="The only one in this version.")
    bed_clearing: Literal["confirm", "automatic"] = Field(
        "confirm", description="confirm: a person says that the bed is free | automatic: the printer clears its own bed."
    )
    materials: list[MaterialSettings] = Field([], description="The spools that are loaded. Not set: none, and nothing is printed.")

    def loaded(self) -> list[LoadedMaterial]:
        """The spools in the product's own words."""
        return [material.value() for material in self.materials]


class OctoPrintSettings(_PrinterFile):
    """A printer behind OctoPrint."""

    kind: Literal["octoprint"] = Field(description="octoprint | virtual")
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

    @field_validator("api_key_env")
    @classmethod
    def _one_key(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        return one_source("api_key", info, value, required=True)

    @property
    def api_key(self) -> Secret:
        secret = self.api_key_file or self.api_key_env
        assert secret is not None, "validation lets none through without"
        return secret


class VirtualSettings(_PrinterFile):
    """No printer: it takes the time that the G-code would take, and prints nothing. For trying things out, without real orders."""

    name: NameOption = Field(description=_NAME, examples=["virtual"])
    kind: Literal["virtual"] = Field(description="octoprint | virtual")
    speed: Number = Field(60.0, gt=0, le=1_000_000, description="This many times faster than a real printer.")


PrinterSettings = Annotated[OctoPrintSettings | VirtualSettings, Field(discriminator="kind")]
LATER_PRINTERS = frozenset({"moonraker", "bambu", "curaengine", "orcaslicer"})
"""Kinds and slicers of the contract that this version does not have."""
