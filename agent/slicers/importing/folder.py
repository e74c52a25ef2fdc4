"""An imported profile as a folder of ours: written beside its place, read back as the agent reads it, and moved there as a whole."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from agent.domain.errors import ConfigError, Refused
from agent.domain.values import one_line
from agent.slicers.importing.draft import Draft, Settings
from agent.slicers.importing.finish import BED_MARGIN_C, NOZZLE_MARGIN_C, ranges
from agent.slicers.orca.presets import read_presets
from agent.slicers.profiles import Profile, ProfileLibrary

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_LONGEST = 60
RESERVED = ("import", "show")
"""Names that are commands of `intagly-agent profiles`."""
_HINT = "Nothing was written. Mend it in the slicer and export it anew."
_PLACE = re.compile(r"(?:.*/)?([\w+.-]+\.ini):(\d+): ")


def slug(title: str) -> str:
    """The folder's name for a printer's: small letters, digits, dots and dashes."""
    name = re.sub(r"[^a-z0-9.]+", "-", title.casefold()).strip("-.")[:_LONGEST].rstrip("-.")
    return name if name and name not in RESERVED else f"imported-{name}".rstrip("-")


def require_name(name: str) -> str:
    """Refused where it could not be a profile's."""
    if not _SLUG.fullmatch(name) or name in RESERVED:
        raise Refused(f"{one_line(name)[:60]} cannot be a profile's name.", hint="Small letters, digits, dots and dashes, such as my-mk3s.")
    return name


def write(draft: Draft, root: Path, name: str, *, replace: bool) -> Profile:
    """The profile as it was read back. Refused: it is there already, its files cannot be used, or the folder cannot be written."""
    target = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        _require_free(target, replace=replace)
        with _beside(root) as work:
            _write_files(draft, work / name)
            _read_back(draft, work, name)
            _move(work / name, target, work / "before")
    except OSError as error:
        raise Refused(
            f"{one_line(str(target))} cannot be written: {error.strerror}.",
            hint="Give another folder with --to, or its rights to yourself.",
        ) from error
    return ProfileLibrary(root).profile(name)


def _require_free(target: Path, *, replace: bool) -> None:
    if not (target.exists() or target.is_symlink()):
        return
    if not replace:
        raise Refused(
            f"There is a profile {target.name} in {one_line(str(target.parent))}.",
            hint="--replace puts the imported one in its place, --name gives this one another name.",
            code="profile_exists",
        )
    if target.is_symlink() or not (target / "profile.toml").is_file():
        raise Refused(f"{one_line(str(target))} is no profile's folder, so it is not replaced.", hint="Give another name with --name.")


@contextmanager
def _beside(root: Path) -> Iterator[Path]:
    """In the same file system, so that moving is renaming; no profile is found in it."""
    work = Path(tempfile.mkdtemp(prefix=".importing-", dir=root))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _move(made: Path, target: Path, before: Path) -> None:
    if not target.exists():
        made.rename(target)
        return
    target.rename(before)
    try:
        made.rename(target)
    except OSError:
        before.rename(target)
        raise


# --- the files --------------------------------------------------------------------------------------------------------
def _write_files(draft: Draft, folder: Path) -> None:
    folder.mkdir()
    (folder / "profile.toml").write_text(_toml(draft), encoding="utf-8")
    for name, settings in draft.files().items():
        (folder / name).write_text(_ini(settings), encoding="utf-8")
    if draft.orca:
        (folder / "orca").mkdir()
    for name, content in draft.orca.items():
        (folder / "orca" / f"{name}.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _toml(draft: Draft) -> str:
    lines = [
        f"title = {_quoted(draft.title)}",
        f"proven = {_quoted(f'imported ({draft.origin}); not tried yet')}",
        f"slicers = [{', '.join(map(_quoted, draft.slicers))}]",
    ]
    if draft.excluded:
        lines.append(f"excluded = {[list(zone) for zone in draft.excluded]}")
    for name in draft.filaments:
        nozzle, bed = ranges(draft, name)
        guessed = f"the filament's own temperatures and {BED_MARGIN_C} °C around them (nozzle: {NOZZLE_MARGIN_C} °C)"
        said = "nozzle_c as the filament says; bed_c is GUESSED: " if name in draft.nozzle_c else "GUESSED: "
        lines += ["", f"# {said}{guessed}. Check it.", f"[materials.{_quoted(name)}]"]
        lines += [f"nozzle_c = [{nozzle[0]}, {nozzle[1]}]", f"bed_c = [{bed[0]}, {bed[1]}]"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A string of TOML; what cannot be shown is not in it."""
    return json.dumps(one_line(text)[:200], ensure_ascii=False)


def _ini(settings: Settings) -> str:
    """Keys of one source together, under its name."""
    lines = []
    for source, group in groupby(sorted(settings.items(), key=lambda one: (one[1].source, one[0])), key=lambda one: one[1].source):
        lines.append(f"# {one_line(source)}\n")
        lines += [f"{key} = {setting.text}\n" for key, setting in group]
    return "".join(lines)


def _read_back(draft: Draft, work: Path, name: str) -> None:
    """What our own reader says is told with the place it came from, not with that of a file which will not be there."""
    try:
        profile = ProfileLibrary(work).profile(name)
        if draft.orca:
            read_presets(profile)
    except ConfigError as error:
        told = str(error).replace(f"{work / name}/", "")
        if (found := _PLACE.match(told)) is not None:
            key = told[found.end() :].split(" ", 1)[0]
            setting = draft.files().get(found[1], {}).get(key)
            told = told[found.end() :] + (f" ({setting.place})" if setting is not None else "")
        raise Refused(f"What was imported cannot be used: {told}", hint=_HINT, code="not_usable") from error
