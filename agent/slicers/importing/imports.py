"""From files to a draft: by what they are."""

from collections.abc import Callable, Sequence
from pathlib import Path

from agent.domain.errors import Refused
from agent.slicers.importing.cura import from_cura
from agent.slicers.importing.draft import Draft
from agent.slicers.importing.orca import from_orca
from agent.slicers.importing.presets import Choice
from agent.slicers.importing.prusaslicer import from_prusaslicer
from agent.slicers.importing.sources import Kind, read_sources


def draft_of(paths: Sequence[Path], choice: Choice, cura_definitions: Callable[[], Path]) -> Draft:
    """Refused, in words for a person, for whatever cannot be taken; with the code undecided where they have to choose.

    `cura_definitions` finds the folder that a Cura definition's parents are in; it is asked only for one of those.
    """
    sources = read_sources(paths)
    kinds = {Kind.INI if source.kind is Kind.GCODE else source.kind for source in sources}
    if len(kinds) > 1:
        raise Refused(f"These are files of {' and '.join(sorted(kind.value for kind in kinds))}.", hint="Give those of one slicer.")
    match kinds.pop():
        case Kind.CURA:
            return from_cura(sources, choice, cura_definitions())
        case Kind.ORCA:
            return from_orca(sources, choice)
    return from_prusaslicer(sources, choice)
