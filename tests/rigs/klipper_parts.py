"""What a machine of several processes is made of: a process that dies with the test run, and a camera."""

import contextlib
import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]


class Part:
    """One process in a group of its own, with its output in a file. It dies with the test run, however that ends."""

    def __init__(self, name: str, command: list[str], folder: Path, leftovers: Sequence[Path] = ()) -> None:
        """`leftovers`: what a run that is killed would leave outside its folder."""
        self.name = name
        self.output = folder / f"{name}.out"
        self._command = command
        self._leftovers = [str(path) for path in leftovers]
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def start(self) -> None:
        assert self._process is None, f"{self.name} runs already"
        # Moonraker names the temporary files of uploads by the second: two of them in one folder mix theirs.
        own = {**os.environ, "TMPDIR": str(self.output.parent)}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, cwd=ROOT, env=own
            )
        # The pipe ends when the test run does, even by SIGKILL.
        guard = ["sh", "-c", 'read _; kill -KILL -"$0"; rm -rf "$@"', str(self._process.pid), *self._leftovers]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)

    def stop(self, *, kindly: bool = False) -> None:
        """As when it crashes; `kindly`, as when its service is stopped."""
        if self._process is not None:
            self.signal(signal.SIGTERM if kindly else signal.SIGKILL)
            self._process.wait(timeout=20)
            self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT: it hangs, and goes on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def assert_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended: {self.output.read_text(errors='replace')[-2000:]}")


class Camera:
    """Answers every request with one JPEG."""

    def __init__(self) -> None:
        picture = io.BytesIO()
        Image.new("RGB", (64, 48), (200, 40, 40)).save(picture, "JPEG")
        self.jpeg = jpeg = picture.getvalue()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(jpeg)))
                self.end_headers()
                self.wfile.write(jpeg)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="camera", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def wait_until(condition: Callable[[], object], what: str, within_s: float = 60) -> None:
    """Polls another process's world. AssertionError when the time is up."""
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.05)
