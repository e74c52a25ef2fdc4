"""What became of a job, out of reports that come late, piecemeal, and after a gap.

A report names a job (subtask name and id) and a state. Beside a job that was just taken, the state may still be the one that the job
before it ended at, for 50 to 210 s; so an end counts only where this job was seen at work, or where the end is another one than the
printer stood at when the job was sent (commands.state_before). What cannot be told is shown as an idle printer that names no job: then
the workflow asks a person.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from agent.domain.printer import PrinterObservation, PrinterState
from agent.printers.bambu import codes
from agent.printers.bambu.commands import state_before
from agent.printers.bambu.report import AT_WORK, KNOWN, PREPARING, Report

REASON_LAG_S = 2.0
"""FAILED may come a little before the code that tells a cancel from a failure."""
NEW_IDS_S = 3.0
"""A new job's state may come a little before its ids: for that long a job that has ended is not believed to be at work again."""
_MOST_ENDS = 50
_IDLE = PrinterObservation(state=PrinterState.IDLE)


@dataclass
class _Job:
    """One job that was seen at work. Times are monotonic seconds."""

    name: str
    job_id: str
    hms_before: frozenset[str]
    shown: PrinterObservation = _IDLE
    """How it was last seen at work."""
    cancel: str = ""
    """Its code, latched: the printer clears it within seconds."""
    error: str = ""
    """The last one that it has not overcome."""
    we_stopped: bool = False
    we_paused: bool = False
    unwatched: bool = False
    """The connection was away while it was at work."""
    left_at: float | None = None
    left_to: str = ""
    """The state it was first seen in when it was no longer at work."""
    again_at: float | None = None

    def is_of(self, report: Report) -> bool:
        return (self.name, self.job_id) == (report.name, report.job_id)


@dataclass
class Jobs:
    """The printer's jobs as this process saw them."""

    _job: _Job | None = None
    _ends: OrderedDict[str, PrinterObservation] = field(default_factory=OrderedDict)
    _at_work_before: str = ""
    _refused: tuple[str, str] | None = None
    _hms_at_rest: frozenset[str] = frozenset()

    def hear(self, report: Report, now: float) -> None:
        """After every report that was merged."""
        if not report.complete or report.state not in KNOWN:
            return
        if report.state in AT_WORK:
            self._at_work(report, now)
            return
        job = self._job
        if job is None or job.left_at is not None:
            self._hms_at_rest = report.hms
        if job is not None and job.is_of(report):
            if job.left_at is None:
                job.left_at, job.left_to = now, report.state
            job.again_at = None
            self._latch(job, report)
            self._after_work(job, report, now)
        elif job is not None:
            self._leave(job)

    def connection_lost(self) -> None:
        if self._job is not None and self._job.left_at is None:
            self._job.unwatched = True

    def we_stop(self, name: str, sent: bool = True) -> None:
        """Said before it is sent, for the report may come first; taken back where the printer said no."""
        if self._job is not None and self._job.name == name:
            self._job.we_stopped = sent

    def we_pause(self, name: str, sent: bool = True) -> None:
        """As `we_stop`."""
        if self._job is not None and self._job.name == name:
            self._job.we_paused = sent

    def was_at_work(self, name: str) -> None:
        """The ledger's word for it, from before this process."""
        self._at_work_before = name

    def was_refused(self, name: str, job_id: int) -> None:
        """The printer shows this start's ids beside FAILED, and had said that it did not take it: it is no job that ended."""
        self._refused = (name, str(job_id))

    def seen(self, report: Report, now: float) -> PrinterObservation:
        """How the printer stands, by a complete report."""
        if report.state not in KNOWN:
            why = f"unknown state {report.state}"
            return PrinterObservation(state=PrinterState.OFFLINE, remote_name=report.name, reason=why, needs_attention=True)
        if report.state in AT_WORK:
            return self._shown_at_work(report, now)
        if report.state == "IDLE" and (self._job is None or not self._job.is_of(report)):
            return _IDLE
        if self._job is not None and self._job.is_of(report):
            return self._after_work(self._job, report, now)
        return self._ends.get(report.name) or self._not_seen_at_work(report)

    def end_of(self, name: str, report: Report | None, now: float) -> PrinterObservation | None:
        if report is not None and report.complete:
            seen = self.seen(report, now)
            if seen.remote_name == name and not seen.busy and seen.state is not PrinterState.OFFLINE:
                self._keep(seen)
        return self._ends.get(name)

    # --- at work ----------------------------------------------------------------------------------------------------

    def _at_work(self, report: Report, now: float) -> None:
        job = self._job
        if job is None or not job.is_of(report) or self._is_another_run(job, now):
            if job is not None:
                self._leave(job)
            job = self._job = _Job(report.name, report.job_id, self._hms_at_rest)
            self._ends.pop(report.name, None)
        if job.left_at is None:
            job.unwatched = False
            self._latch(job, report)
            job.shown = _at_work(job, report)

    def _is_another_run(self, job: _Job, now: float) -> bool:
        """A file printed again at the printer's screen has no id, or keeps its old one."""
        if job.left_at is None:
            return False
        if job.again_at is None:
            job.again_at = now
        return job.job_id in ("", "0") or now - job.again_at >= NEW_IDS_S

    def _shown_at_work(self, report: Report, now: float) -> PrinterObservation:
        self._at_work(report, now)
        assert self._job is not None
        return self._job.shown if self._job.left_at is None else self._after_work(self._job, report, now)

    @staticmethod
    def _latch(job: _Job, report: Report) -> None:
        if report.error in codes.CANCELLED:
            job.cancel = report.error
        elif report.error:
            job.error = report.error
        elif report.state == "RUNNING":
            job.error = ""
            job.we_paused = job.we_paused and job.shown.state is not PrinterState.PAUSED

    def _leave(self, job: _Job) -> None:
        """The printer speaks of another one: what is known of this one's end is kept."""
        if job.name not in self._ends and (job.cancel or job.we_stopped or job.left_to == "FAILED"):
            self._keep(_end(job, not job.error))
        self._job = None

    # --- at rest ----------------------------------------------------------------------------------------------------

    def _after_work(self, job: _Job, report: Report, now: float) -> PrinterObservation:
        if job.name in self._ends:
            return self._ends[job.name]
        if report.state == "FINISH":
            return self._keep(_ended(job, PrinterState.FINISHED, ""))
        sure = bool(job.cancel) or job.we_stopped
        if not sure and job.left_at is not None and now - job.left_at < REASON_LAG_S:
            return job.shown
        if report.state == "IDLE" and not sure:
            return _IDLE  # the printer was restarted, or somebody cleared its screen: how the job ended is not told
        return self._keep(_end(job, report.denies_error and not report.hms - job.hms_before))

    def _not_seen_at_work(self, report: Report) -> PrinterObservation:
        """FINISH or FAILED, with a job that this process did not see at work."""
        if (report.name, report.job_id) == self._refused:
            return _IDLE
        if state_before(report.name, report.job_id) == report.state and report.name != self._at_work_before:
            return _IDLE
        if report.state == "FINISH":
            return PrinterObservation(state=PrinterState.FINISHED, remote_name=report.name, progress=1.0)
        job = _Job(report.name, report.job_id, frozenset(), unwatched=True)
        self._latch(job, report)
        return _end(job, report.denies_error)

    def _keep(self, end: PrinterObservation) -> PrinterObservation:
        self._ends[end.remote_name] = end
        self._ends.move_to_end(end.remote_name)
        while len(self._ends) > _MOST_ENDS:
            self._ends.popitem(last=False)
        return end


def _at_work(job: _Job, report: Report) -> PrinterObservation:
    if report.state in PREPARING:
        return PrinterObservation(state=PrinterState.PREPARING, remote_name=job.name)
    state, reason = PrinterState.PRINTING, ""
    if report.state == "PAUSE":
        state, reason = PrinterState.PAUSED, _why_paused(job, report)
    return PrinterObservation(
        state=state,
        remote_name=job.name,
        progress=report.progress,
        seconds_left=report.seconds_left,
        layer=report.layer,
        layers=report.layers,
        reason=reason,
    )


def _why_paused(job: _Job, report: Report) -> str:
    """Running out comes first: who pauses then only waits for filament."""
    if report.ran_out:
        return codes.told(report.error) if codes.is_runout(report.error) else "the filament has run out"
    if job.we_paused:
        return "paused by the agent"
    if report.error:
        return codes.told(report.error)
    return "paused at the printer" if report.paused_by_person else "paused at the printer, or by it"


def _end(job: _Job, no_error: bool) -> PrinterObservation:
    """A bad one. A print that FAILED without any error was cancelled (read in public sources; not seen on hardware)."""
    if job.we_stopped:
        return _ended(job, PrinterState.CANCELLED, "cancelled by the agent")
    if job.cancel:
        return _ended(job, PrinterState.CANCELLED, codes.told(job.cancel))
    if job.error:
        return _ended(job, PrinterState.FAILED, codes.told(job.error))
    if no_error:
        looked = "while nobody looked" if job.unwatched else "and the printer names no error"
        return _ended(job, PrinterState.CANCELLED, f"it ended early, {looked}: cancelled at the printer, most likely")
    return _ended(job, PrinterState.FAILED, "it ended early; the printer does not say why")


def _ended(job: _Job, state: PrinterState, reason: str) -> PrinterObservation:
    progress = 1.0 if state is PrinterState.FINISHED else job.shown.progress
    return PrinterObservation(state=state, remote_name=job.name, progress=progress, reason=reason)
