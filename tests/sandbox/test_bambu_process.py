"""The sandbox Bambu printer as a process, and its card: what pyftpdlib lets pass and vsftpd does not."""

import contextlib
import ftplib
import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.bambu_server import running_bambu
from tests.rigs.vsftpd import can_run
from tests.sandbox.bambu_client import Client, card, put

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("bambu machine")]


@pytest.mark.skipif(not can_run(), reason="vsftpd is not here, or may not be given users of its own")
def test_the_strict_card(tmp_path: Path) -> None:
    with running_bambu(tmp_path / "printer", ftps="vsftpd") as server:
        assert server.vsftpd is not None
        body = b"x" * 3_000_000
        with card(server) as ftp:
            assert ftp.sock.version() == "TLSv1.2"
            assert ftp.storbinary("STOR a.gcode.3mf", io.BytesIO(body)).startswith("226")
            assert ftp.size("a.gcode.3mf") == len(body) == (server.card / "a.gcode.3mf").stat().st_size
        with card(server, reuse=False) as ftp, pytest.raises((OSError, ftplib.Error, EOFError)):
            ftp.storbinary("STOR b.gcode.3mf", io.BytesIO(body))
        assert '"522 ' in server.vsftpd.log()
        with pytest.raises(ftplib.error_perm, match="530"), card(server, code="00000000"):
            pass


def test_a_card_that_does_not_answer_the_end_of_tls(tmp_path: Path) -> None:
    with running_bambu(tmp_path / "printer", hang_unwrap=True) as server:
        with card(server) as ftp:
            ftp.voidcmd("TYPE I")
            data = ftp.transfercmd("STOR a.gcode.3mf")
            data.sendall(b"x" * 100_000)
            data.settimeout(0.5)
            with pytest.raises(TimeoutError):
                data.unwrap()
            data.close()
            assert ftp.voidresp().startswith("226")
            assert ftp.size("a.gcode.3mf") == 100_000
        assert server.events("upload") == ["a.gcode.3mf"]


def test_a_loss_of_power(tmp_path: Path) -> None:
    with running_bambu(tmp_path) as server:
        put(server, "power", 60)
        with contextlib.closing(Client(server)) as client:
            client.start("power")
            client.state("RUNNING")
        server.restart(remember=True)
        assert (server.active(), server.state()) == ("power", "RUNNING")
        server.pause()
        server.restart(remember=True)
        assert (server.active(), server.state()) == ("power", "PAUSE")
        server.resume()
        server.restart(remember=False)
        assert (server.active(), server.state()) == (None, "IDLE")
        assert (server.starts(), server.events("lost")) == (["power"], ["power"])


def test_its_command_says_where_it_is_and_stops_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent", "sandbox", "bambu", "--folder", str(tmp_path), "--serial", "01P00A000000042"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        told = json.loads(started.stdout.readline())
        assert told["serial"] == "01P00A000000042"
        assert len({told["mqtt_port"], told["ftps_port"], told["camera_port"], told["control_port"]}) == 4
        started.terminate()
        output, errors = started.communicate(timeout=10)
    assert (started.returncode, output, errors) == (0, "", "")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((told["host"], told["mqtt_port"]), 1).close()


@pytest.mark.parametrize("which", ["--mqtt-port", "--ftps-port", "--camera-port"])
def test_a_port_that_is_taken_is_told(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "agent", "sandbox", "bambu", "--folder", str(tmp_path), which, str(taken.getsockname()[1])]
        run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert "Traceback" not in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_missing_extra_is_told(tmp_path: Path) -> None:
    program = "import sys; sys.modules['pyftpdlib'] = None; from agent.cli import main; main()"
    command = [sys.executable, "-c", program, "sandbox", "bambu", "--folder", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 1
    assert "intagly-agent[sandbox]" in run.stderr
    assert "Traceback" not in run.stderr
