"""Stands between the agent and OctoPrint, and lets a test be there at the very moment a start goes by."""

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import requests

Hook = Callable[[str], None]
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length", "host"}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """An agent that was killed leaves its connections as they are."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class StartProxy:
    """Forwards everything. `before` is called when a start has come and OctoPrint does not have it yet, `after` when it
    answered and the agent does not know; `drop` loses the start instead of forwarding it."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.before: Hook = lambda _name: None
        self.after: Hook = lambda _name: None
        self.drop: Callable[[str], bool] = lambda _name: False
        self.starts_seen: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.forward(self)

            def do_POST(self) -> None:
                proxy.forward(self)

            def log_message(self, format: str, *args: Any) -> None:
                """OctoPrint's own log is the truth."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forward(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        name = _started(request.path, request.headers.get("Content-Type", ""), body)
        if name:
            self.starts_seen.append(name)
            lost = self.drop(name)
            self.before(name)
            if lost:
                request.close_connection = True
                return
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        answer = requests.request(request.command, self._target + request.path, headers=headers, data=body, timeout=30)
        if name:
            self.after(name)
        self._reply(request, answer)

    def _reply(self, request: BaseHTTPRequestHandler, answer: requests.Response) -> None:
        try:
            request.send_response(answer.status_code)
            for key, value in answer.headers.items():
                if key.lower() not in _HOP_BY_HOP:
                    request.send_header(key, value)
            request.send_header("Content-Length", str(len(answer.content)))
            request.end_headers()
            request.wfile.write(answer.content)
        except (BrokenPipeError, ConnectionResetError):
            request.close_connection = True  # the agent was killed while it waited


def _started(path: str, content_type: str, body: bytes) -> str:
    """The file a request asks to print; empty for every other request."""
    if not path.startswith("/api/files/local/") or "json" not in content_type:
        return ""
    asked = json.loads(body)
    return path.rsplit("/", 1)[-1] if asked.get("command") == "select" and asked.get("print") is True else ""
