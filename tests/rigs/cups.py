"""A real cupsd with a folder, a port and a socket of its own; its printers are a backend that keeps what it was given, or fails as told.

Its queues have a driver (PPD) that takes PDF as it is, so that papers and options are CUPS' own and no filter is needed. CUPS runs nothing
that others could have written: this works for root only.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.rigs.processes import Server, free_port

_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
PROGRAM = shutil.which("cupsd", path=_PATH)

_PPD = """*PPD-Adobe: "4.3"
*FormatVersion: "4.3"
*FileVersion: "1.0"
*LanguageVersion: English
*LanguageEncoding: ISOLatin1
*PCFileName: "LABEL.PPD"
*Manufacturer: "Test"
*Product: "(Label)"
*ModelName: "Test Label"
*ShortNickName: "Test Label"
*NickName: "Test Label"
*PSVersion: "(3010.000) 0"
*LanguageLevel: "3"
*ColorDevice: False
*DefaultColorSpace: Gray
*FileSystem: False
*Throughput: "1"
*cupsVersion: 2.4
*cupsFilter2: "application/pdf application/pdf 0 -"
*OpenUI *PageSize/Media Size: PickOne
*OrderDependency: 10 AnySetup *PageSize
*DefaultPageSize: w288h432
*PageSize w288h432/4x6: "<</PageSize[288 432]>>setpagedevice"
*PageSize A4/A4: "<</PageSize[595 842]>>setpagedevice"
*CloseUI: *PageSize
*OpenUI *PageRegion/Media Size: PickOne
*OrderDependency: 10 AnySetup *PageRegion
*DefaultPageRegion: w288h432
*PageRegion w288h432/4x6: "<</PageSize[288 432]>>setpagedevice"
*PageRegion A4/A4: "<</PageSize[595 842]>>setpagedevice"
*CloseUI: *PageRegion
*DefaultImageableArea: w288h432
*ImageableArea w288h432/4x6: "0 0 288 432"
*ImageableArea A4/A4: "0 0 595 842"
*DefaultPaperDimension: w288h432
*PaperDimension w288h432/4x6: "288 432"
*PaperDimension A4/A4: "595 842"
"""

_BACKEND = """#!/bin/sh
# job user title copies options [file]; exit status after backend(7)
[ $# = 0 ] && exit 0
out=${DEVICE_URI#paper:}
if [ -f "$out/fails" ]; then
    echo "STATE: +media-empty-error" >&2
    echo "ERROR: The labels are used up" >&2
    exit "$(cat "$out/fails")"
fi
printf '%s' "$5" >"$out/$1.options"
if [ -n "$6" ]; then cat "$6"; else cat; fi >"$out/$1.pdf"
"""
STOP, HOLD, FAIL = 4, 3, 1
"""What a backend's exit status does: stop the queue, hold the job, whatever the queue's policy says."""
_SYSTEM = Path("/usr/lib/cups")


def can_run() -> bool:
    return os.geteuid() == 0 and PROGRAM is not None and shutil.which("lpadmin", path=_PATH) is not None


class Cups:
    """`start` it with its queues; `printed` is what came out of one."""

    def __init__(self) -> None:
        # Not below a test's folder: a socket's path has room for 107 bytes, and CUPS' own user must be able to walk there.
        self.folder = Path(tempfile.mkdtemp(prefix="cups-"))
        self.socket = self.folder / "cups.sock"
        self.port = free_port()
        self._server = Server(self.folder / "output.txt")

    def start(self, *queues: str) -> None:
        """Queues that are there already stay."""
        assert PROGRAM is not None, "cupsd is not installed"
        self._configure()
        self._server.start([PROGRAM, "-f", "-c", str(self.folder / "cupsd.conf"), "-s", str(self.folder / "cups-files.conf")])
        self._server.wait_for("127.0.0.1", self.port)
        for queue in queues:
            self.run("lpadmin", "-p", queue, "-E", "-v", f"paper:{self._tray(queue)}", "-P", str(self.folder / "label.ppd"))

    def _configure(self) -> None:
        self.folder.chmod(0o755)
        programs = self.folder / "bin"
        if not programs.is_dir():
            (programs / "backend").mkdir(parents=True)
            for folder in _SYSTEM.iterdir():
                if folder.name != "backend":
                    (programs / folder.name).symlink_to(folder)
            (programs / "backend" / "paper").write_text(_BACKEND)
            (programs / "backend" / "paper").chmod(0o755)
        for name in ("spool", "cache", "state", "tmp", "ppd"):
            (self.folder / name).mkdir(exist_ok=True)
            (self.folder / name).chmod(0o777)
        (self.folder / "label.ppd").write_text(_PPD)
        (self.folder / "cupsd.conf").write_text(
            f"LogLevel debug\nListen 127.0.0.1:{self.port}\nListen {self.socket}\nBrowsing Off\nWebInterface No\nDefaultAuthType None\n"
            "PreserveJobHistory Yes\nMaxLogSize 0\nErrorPolicy stop-printer\nJobRetryInterval 1\n"
            "<Location />\n  Order allow,deny\n  Allow all\n</Location>\n"
            "<Policy default>\n  JobPrivateAccess default\n  JobPrivateValues default\n  <Limit All>\n    Order allow,deny\n    Allow all\n"
            "  </Limit>\n</Policy>\n"
        )
        (self.folder / "cups-files.conf").write_text(
            f"SyncOnClose No\nSystemGroup root\nServerBin {self.folder}/bin\nServerRoot {self.folder}\n"
            f"RequestRoot {self.folder}/spool\nCacheDir {self.folder}/cache\nStateDir {self.folder}/state\nTempDir {self.folder}/tmp\n"
            f"ErrorLog {self.folder}/error.log\nAccessLog {self.folder}/access.log\nPageLog {self.folder}/page.log\nPrintcap\n"
        )

    def stop(self) -> None:
        self._server.stop()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program: str, *arguments: str) -> str:
        """One of CUPS' own programs against this one."""
        found = shutil.which(program, path=_PATH)
        assert found is not None, f"{program} is not installed"
        done = subprocess.run(
            [found, *arguments], env={**os.environ, "CUPS_SERVER": f"127.0.0.1:{self.port}", "LC_ALL": "C"}, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (program, arguments, done.stderr, self.log()[-2000:])
        return done.stdout

    def address(self, queue: str) -> str:
        return f"ipp://127.0.0.1:{self.port}/printers/{queue}"

    def printed(self, queue: str) -> list[bytes]:
        """What came out, job by job."""
        return [path.read_bytes() for path in sorted(self._tray(queue).glob("*.pdf"))]

    def options(self, queue: str) -> str:
        """With which options the last job went to the driver."""
        return max(self._tray(queue).glob("*.options"), key=lambda path: path.stat().st_mtime_ns).read_text()

    def fails(self, queue: str, how: int | None) -> None:
        """From now on, in this way; None: no more."""
        told = self._tray(queue) / "fails"
        told.unlink(missing_ok=True)
        if how is not None:
            told.write_text(str(how))

    def _tray(self, queue: str) -> Path:
        tray = self.folder / "trays" / queue
        if not tray.is_dir():
            tray.mkdir(parents=True)
            tray.chmod(0o777)
        return tray

    def log(self) -> str:
        path = self.folder / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""
