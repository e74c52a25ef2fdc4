"""The Debian package, less the Python packages in it: what it installs, and what it never touches. The whole of it: scripts/try-deb.sh."""

import subprocess
from pathlib import Path

import pytest

from agent import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("deb")
    done = subprocess.run([ROOT / "scripts" / "deb.sh", "--without-python", "--into", into], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root of its own, with dpkg's records of nothing."""
    for folder in ("updates", "info"):
        (tmp_path / "var/lib/dpkg" / folder).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    return tmp_path


def dpkg(machine: Path, *arguments: str | Path) -> str:
    forced = ["--force-script-chrootless", "--force-depends", "--force-not-root"]
    command = ["dpkg", f"--root={machine}", f"--log={machine}/dpkg.log", *forced, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_lays_everything_where_unit_and_documents_say(package: Path, machine: Path) -> None:
    told = dpkg(machine, "-i", package)
    assert "intagly-agent setup" in told, "what to do next"
    assert package.name.startswith(f"intagly-agent_{__version__}_")
    unit = (machine / "usr/lib/systemd/system/intagly-agent.service").read_text()
    assert unit == (ROOT / "systemd/intagly-agent.service").read_text()
    started = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).removeprefix("ExecStart=").split()[0]
    assert mode(machine / started.lstrip("/")) == 0o755
    assert (machine / "usr/bin/intagly-agent").readlink() == Path(started)
    assert (machine / "opt/intagly-agent/bin/python").readlink().is_absolute()
    assert (machine / "usr/share/doc/intagly-agent/examples/config.toml").read_text() == (ROOT / "config.example.toml").read_text()
    etc = machine / "etc/intagly-agent"
    assert {path.name: mode(path) for path in etc.iterdir()} == {"printers": 0o755, "secrets": 0o700}, "no configuration of its own"


def test_an_upgrade_and_a_removal_leave_configuration_and_orders_alone_and_a_purge_does_not(package: Path, machine: Path) -> None:
    dpkg(machine, "-i", package)
    etc, orders = machine / "etc/intagly-agent", machine / "var/lib/private/intagly-agent/ledger.sqlite3"
    (etc / "config.toml").write_text("mine")
    (etc / "secrets/token").write_text("secret")
    (etc / "secrets").chmod(0o750)
    orders.parent.mkdir(parents=True)
    orders.write_text("orders")

    def mine() -> list[str | int]:
        return [(etc / "config.toml").read_text(), (etc / "secrets/token").read_text(), mode(etc / "secrets"), orders.read_text()]

    before = mine()
    told = dpkg(machine, "-i", package)
    assert "setup" not in told, "who has a configuration needs no advice"
    assert mine() == before
    dpkg(machine, "--remove", "intagly-agent")
    assert mine() == before
    assert not (machine / "opt/intagly-agent").exists()
    assert not (machine / "usr/bin/intagly-agent").is_symlink()
    dpkg(machine, "--purge", "intagly-agent")
    assert not etc.exists()
    assert not orders.exists()
