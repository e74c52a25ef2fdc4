"""`profiles`: the printer models that can be sliced for, where each setting of one comes from, and how more of them come in."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json
from agent.commands.profiles_import import import_
from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.shopfloor import profile_library
from agent.slicers.profiles import ORDER_KEYS, Profile, ProfileLibrary, default_profiles_dir

_INDENT = "    "
_FILES = ("machine.ini", "process.ini", "filament")
"""In which order they are laid over each other."""


class _ShowsByDefault(click.Group):
    """What names no command of its own is a profile's name, or nothing at all: that shows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = [*self.commands, *self.get_help_option_names(ctx)]
        return super().parse_args(ctx, args if args and args[0] in own else ["show", *args])


@click.group(cls=_ShowsByDefault, subcommand_metavar="[NAME] | import FILE...")
def profiles() -> None:
    """The slicer profiles: all of them, every setting of one (NAME), and a new one out of another program's (import)."""


profiles.add_command(import_)


@profiles.command()
@click.argument("name", required=False)
@click.option("--material", help="The filament a profile is explained with. Default: PLA, or the first it has.")
@config_option
@json_option
def show(name: str | None, material: str | None, config: ConfigSource, as_json: bool) -> None:
    """All profiles, or every setting of one and the file it comes from. `profiles NAME` is short for it.

    Those of [slicing] profiles_dir where a configuration is found, else the shipped ones.
    """
    if material is not None and name is None:
        raise click.UsageError("--material goes with a profile's NAME.")
    library = _library(config)
    if name is None:
        _tell_all([library.profile(known) for known in library.names()], as_json)
    else:
        profile = _known(library, name)
        _explain(profile, profile.material(material or _first_material(profile)), as_json)


def _library(config: ConfigSource) -> ProfileLibrary:
    return ProfileLibrary(default_profiles_dir()) if config.file() is None else profile_library(config.settings(needs_secrets=False))


def _known(library: ProfileLibrary, name: str) -> Profile:
    if name not in library.names():
        hint = "`intagly-agent profiles` lists them; [slicing] profiles_dir says where yours are."
        raise Refused(f"There is no profile {one_line(name)}.", hint=hint, code="no_such_profile")
    return library.profile(name)


def _first_material(profile: Profile) -> str:
    return "PLA" if "PLA" in profile.materials else profile.materials[0]


# --- all of them ------------------------------------------------------------------------------------------------------
def _tell_all(found: Sequence[Profile], as_json: bool) -> None:
    if as_json:
        say_json({"profiles": [_facts(profile) for profile in found]})
        return
    if not found:
        click.echo("There are no profiles. `[slicing] profiles_dir` says where they are looked for.")
    for profile in found:
        click.secho(f"{profile.name}: ", bold=True, nl=False)
        _tell(profile)


def _tell(profile: Profile) -> None:
    least, most = profile.layer_heights_mm
    size = "×".join(f"{side:g}" for side in profile.bed_mm)
    click.echo(one_line(profile.title))
    click.echo(f"{_INDENT}{size} mm, nozzle {profile.nozzle_mm:g} mm, layers {least:g}…{most:g} mm, {' and '.join(profile.slicers)}")
    click.echo(f"{_INDENT}{', '.join(_temperatures(profile, material) for material in profile.materials)} °C (nozzle/bed)")
    click.echo(f"{_INDENT}{one_line(profile.proven) or 'nothing is said about how far it was tried'}")


def _temperatures(profile: Profile, material: str) -> str:
    filament = profile.filaments[material]
    return f"{material} {filament['temperature']}/{filament['bed_temperature']}"


def _facts(profile: Profile) -> dict[str, Any]:
    least, most = profile.layer_heights_mm
    return {
        "name": profile.name,
        "title": profile.title,
        "folder": str(profile.folder),
        "bed_mm": profile.bed_mm,
        "nozzle_mm": profile.nozzle_mm,
        "layer_height_mm": float(profile.process["layer_height"]),
        "least_layer_height_mm": least,
        "most_layer_height_mm": most,
        "slicers": profile.slicers,
        "clears_bed": profile.clears_bed,
        "proven": profile.proven,
        "materials": [_material(profile, material) for material in profile.materials],
    }


def _material(profile: Profile, material: str) -> dict[str, Any]:
    filament, limits = profile.filaments[material], profile.limits[material]
    return {
        "material": material,
        "nozzle_c": float(filament["temperature"].split(",")[0]),
        "bed_c": float(filament["bed_temperature"].split(",")[0]),
        "nozzle_limits_c": limits.nozzle_c,
        "bed_limits_c": limits.bed_c,
        "needs": limits.needs,
    }


# --- one of them ------------------------------------------------------------------------------------------------------
def _explain(profile: Profile, material: str, as_json: bool) -> None:
    origins = profile.origins(material)
    if as_json:
        settings = [asdict(origin) for origin in origins]
        say_json({**_facts(profile), "explained_with": material, "settings": settings, "cura": profile.cura, "order_decides": ORDER_KEYS})
        return
    _tell(profile)
    for known in profile.materials:
        if needs := profile.limits[known].needs:
            click.echo(f"{_INDENT}{known} needs {one_line(needs)}")
    click.echo(f"{_INDENT}{profile.folder}\n")
    by_layer = sorted(origins, key=lambda origin: _FILES.index(origin.file.partition("-")[0]))
    for file, said in groupby(by_layer, lambda origin: origin.file):
        click.secho(file, bold=True)
        for origin in said:
            _tell_setting(origin.key, origin.value, origin.instead_of)
    if profile.cura:
        click.secho("cura.ini (for CuraEngine, over what is translated for it from the others)", bold=True)
    for key, value in profile.cura.items():
        _tell_setting(key, value)
    click.echo("\nOver all of these the order decides infill, supports, material, colour, and the height of the layers where it names one.")


def _tell_setting(key: str, value: str, instead_of: str | None = None) -> None:
    """Printer code line by line."""
    lines = [one_line(line) for line in value.split(r"\n")]
    shown = f" {lines[0]}" if len(lines) == 1 else "".join(f"\n{_INDENT * 2}{line}" for line in lines)
    replaced = "" if instead_of is None else f"    (in place of {one_line(instead_of)})"
    click.echo(f"{_INDENT}{key} ={shown}{replaced}")
