"""Asking the PrusaSlicer that is installed how it reads an imported profile.

It takes settings that it does not know without a word, and the proof then misses them in its account: no plate would ever prove.
"""

import math
from pathlib import Path

from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.slicers.endings import last_words
from agent.slicers.engine import environment
from agent.slicers.importing.draft import Draft, Left, Reworded, Setting, Settings
from agent.slicers.profiles import Flat, as_ini
from agent.wire.child import Limits, run

_LIMITS = Limits(wall_s=60, cpu_s=30, memory_bytes=2 << 30, file_bytes=20_000_000)


async def read_by_prusaslicer(draft: Draft, program: str, folder: Path) -> None:
    """Takes out what it does not know, and puts the others as it writes them. `folder`: empty, for its files.

    Refused with its own last words where it cannot read the profile; NeedsOperator where it is not installed.
    """
    for material, filament in draft.filaments.items():
        flat = {key: setting.text for one in (draft.machine, draft.process, filament) for key, setting in one.items()}
        saved = await _saved(flat, program, folder / material)
        for file in ("machine.ini", "process.ini", f"filament-{material}.ini"):
            _compare(draft, file, draft.files()[file], saved)


async def _saved(flat: Flat, program: str, folder: Path) -> Flat:
    (folder / "data").mkdir(parents=True)
    (folder / "flat.ini").write_text(as_ini(flat), encoding="utf-8")
    argv = [program, "--datadir", "data", "--loglevel", "1", "--load", "flat.ini", "--save", "saved.ini"]
    ended = await run(argv, cwd=folder, env=environment(folder), limits=_LIMITS)
    saved = folder / "saved.ini"
    if ended.code != 0 or not saved.is_file():
        raise Refused(
            f"PrusaSlicer cannot read what was imported (exit {ended.code}). {one_line(last_words(ended))}",
            hint="Another version may have written it: open it in PrusaSlicer's window, and export it from there.",
            code="slicer_refused",
        )
    lines = (line.partition("=") for line in saved.read_text(encoding="utf-8", errors="replace").split("\n"))
    return {key.strip(): value.strip() for key, sign, value in lines if sign}


def _compare(draft: Draft, file: str, settings: Settings, saved: Flat) -> None:
    for key, setting in list(settings.items()):
        if key not in saved:
            del settings[key]
            draft.left.append(Left(key, setting, "the PrusaSlicer that is installed here does not know it", loud=True))
            continue
        read = saved[key]
        settings[key] = Setting(read, setting.source, setting.line)
        if not _same(setting.text, read):
            draft.reworded.append(Reworded(file, key, setting.text, read))


def _same(given: str, read: str) -> bool:
    """As text but for the quotes, or as numbers one by one."""
    ours, its = (text.replace('"', "").replace("\\", "").split(",") for text in (given, read))
    return len(ours) == len(its) and all(
        one.strip() == other.strip() or _same_number(one, other) for one, other in zip(ours, its, strict=True)
    )


def _same_number(one: str, other: str) -> bool:
    try:
        return one.endswith("%") == other.endswith("%") and math.isclose(float(one.rstrip("%")), float(other.rstrip("%")), abs_tol=1e-6)
    except ValueError:
        return False
