"""Which of the configured printers a model fits on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.config.load import load
from agent.domain.mesh import MeshReport
from agent.domain.printer import PrinterFacts
from agent.shopfloor import facts_of, profile_library
from agent.workflow.printer_rules import fits_bed


def configured_printers(config: Path) -> list[PrinterFacts]:
    """ConfigError where the configuration, or a printer's profile, cannot be used. No secret is needed."""
    settings = load(config, {}, needs_secrets=False)
    profiles = profile_library(settings)
    return [facts_of(printer, profiles) for printer in settings.printers]


def fits(report: MeshReport, printers: Sequence[PrinterFacts]) -> list[dict[str, Any]]:
    """For each printer the size as it would lie there, and the room there is. Empty for what could not be read."""
    found = [fits_bed(printer, report.bounding_box_mm) for printer in printers if report.triangles]
    return [{"printer": rule.printer, "fits": rule.ok, "size": rule.value, "room": rule.limit} for rule in found]
