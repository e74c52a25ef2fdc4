"""The test print of `setup`: a part of our own, by the way of every order: judged, sliced, proved, uploaded, started once."""

import asyncio
import tempfile
import time
from pathlib import Path

from agent.commands.at_work import pid_at_work
from agent.commands.options import ConfigSource
from agent.commands.workbench_start import bench_for
from agent.config.model import Settings
from agent.domain.errors import Refused
from agent.domain.job import remote_name
from agent.domain.printer import BedState, PrinterFacts, PrinterState
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.printer import Printer
from agent.sandbox.models import demo_part, write_binary_stl
from agent.wiring import build_printers, ledger_url

_BEGINS_S = 60.0
_LOOK_S = 0.5
_INFILL = 15


async def print_demo_part(config: Path, name: str) -> str:
    """What came of it, for a person. Whoever calls has asked whether the bed is clear.

    Refused: nothing was started. Transient: it is not known whether it was; look at the printer.
    """
    with tempfile.TemporaryDirectory(prefix="intagly-agent-") as folder:
        model = write_binary_stl(Path(folder) / "hook.stl", demo_part())
        async with bench_for(ConfigSource(config), [model]) as (settings, bench):
            facts = next((printer for printer in bench.printers if printer.name == name), None)
            if facts is None or not facts.materials:
                raise Refused(f"There is no printer {name} with a spool on it.", hint="See printers/.", code="no_such_printer")
            _must_be_ours(settings)
            wish = bench.wish(_INFILL, "no", facts.materials[0].material, "", 1)
            (plate,) = await bench.plates(facts, wish)
            if unproved := plate.unproved():
                raise Refused("; ".join(unproved), hint="Compare the profile with a shipped one.", code="not_proved")
            remote = remote_name(f"test-print-{time.time():.0f}", plate.number, 1, plate.gcode_sha256)
            await _started(settings, facts, bench.store.path(plate.gcode_sha256), remote)
    return f"{name} prints {remote}, for about {plate.print_seconds // 60} minutes. Watch it, and clear the bed when it is done."


def _must_be_ours(settings: Settings) -> None:
    pid = pid_at_work(settings.agent.data_dir)
    if pid is not None:
        hint = "Stop it for the test print, or put a model into a hot folder."
        raise Refused(f"The agent is at work already (process {pid}), and the printers are its own.", hint=hint, code="at_work")


async def _started(settings: Settings, facts: PrinterFacts, gcode: Path, remote: str) -> None:
    async with build_printers(settings)[facts.name] as printer:
        seen = await printer.observe()
        if seen.busy or seen.state is PrinterState.OFFLINE:
            raise Refused(f"{facts.name} is {seen.state}: {seen.reason or seen.remote_name}", hint="Nothing was started.", code="not_idle")
        with SqlLedger(ledger_url(settings)) as ledger:
            bed = ledger.beds().get(facts.name)
            if bed is not None and bed.state is BedState.OCCUPIED:
                hint = f"Clear it, and say so: intagly-agent confirm bed {facts.name}"
                raise Refused(f"Something lies on the bed of {facts.name}.", hint=hint, code="bed_not_clear")
            await printer.upload(gcode, remote)
            ledger.set_bed(facts.name, BedState.OCCUPIED, "the test print of setup")  # before the start: no order may follow it there
        await printer.start(remote)
        await _begun(printer, facts.name, remote)


async def _begun(printer: Printer, name: str, remote: str) -> None:
    """Until the printer itself names it: that a start was taken proves nothing."""
    try:
        async with asyncio.timeout(_BEGINS_S):
            while True:
                seen = await printer.observe()
                if seen.remote_name == remote and (seen.busy or seen.state is PrinterState.FINISHED):
                    return
                await asyncio.sleep(_LOOK_S)  # printers call nobody
    except TimeoutError:
        raise Refused(
            f"{name} took the test print and does not say that it prints it.", hint="Look at the printer.", code="not_begun"
        ) from None
