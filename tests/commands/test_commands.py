"""The commands as a user calls them: real processes, their exit codes, and JSON that is one document on stdout and nothing else."""

import json
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.domain.printer import BedState
from agent.sandbox.models import bar, box, cube, open_cube, write_binary_stl
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import ROOT, AgentHome, wait_until
from tests.rigs.nursery import ran
from tests.workflow.workshop import make_offer


def agent(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return ran("agent", *(str(argument) for argument in arguments), cwd=ROOT, environ=environ)


def answer(done: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    return home


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return write_binary_stl(tmp_path / "plate of mine.stl", box(15, 10, 2))


# --- wrong usage and bad configuration ---------------------------------------------------------------------------
def test_wrong_usage_is_2_and_an_unknown_order_is_1(home: AgentHome) -> None:
    assert agent("orders", "--nonsense").returncode == 2
    assert agent("slice", "--config", home.config).returncode == 2
    unknown = agent("orders", "--config", home.config, "show", "o123")
    assert unknown.returncode == 1
    assert "There is no order o123" in unknown.stderr
    assert unknown.stdout == ""


@pytest.mark.parametrize("command", [["run"], ["check"], ["orders"], ["quote", "x.stl"]])
def test_bad_configuration_is_78_with_all_mistakes_at_once(home: AgentHome, command: list[str]) -> None:
    home.add('[acceptance]\nmode = "automatic"\nanswer_margn_s = 5\n')
    (home.folder / "printers" / "other.toml").write_text('name = "other"\nkind = "virtul"\n')
    told = agent(*command, "--config", home.config)
    assert told.returncode == 78
    said = told.stderr + told.stdout
    for part in ("mode", "did you mean auto", "answer_margn_s", "did you mean answer_margin_s", "other.toml", "did you mean virtual"):
        assert part in said, part


def test_no_configuration_at_all_says_where_it_looked(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-m", "agent", "orders"], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert told.returncode == 2
    assert "--config FILE" in told.stderr


def test_set_wins_over_the_environment_which_wins_over_the_file(home: AgentHome) -> None:
    home.add('[acceptance]\nmode = "off"\n')
    wrong = agent("orders", "--config", home.config, INTAGLY_AGENT__ACCEPTANCE__MODE="wrong")
    assert wrong.returncode == 78
    mended = agent("orders", "--config", home.config, "--set", "acceptance.mode=ask", INTAGLY_AGENT__ACCEPTANCE__MODE="wrong")
    assert mended.returncode == 0
    assert agent("orders", "--config", home.config, "--set", "nonsense").returncode == 2


def test_one_agent_at_a_time_has_a_ledger(home: AgentHome) -> None:
    with home.running():
        wait_until(lambda: home.logged("ready"), "the first is up")
        second = agent("run", "--config", home.config)
        assert second.returncode == 78
        assert "Another agent is at work" in second.stderr


# --- inspect ------------------------------------------------------------------------------------------------------
def test_inspect_tells_each_file_and_its_reasons(tmp_path: Path) -> None:
    good, bad = write_binary_stl(tmp_path / "cube.stl", cube(20)), tmp_path / "page.stl"
    bad.write_text("<!DOCTYPE html><html></html>")
    told = answer(agent("inspect", good, bad, tmp_path / "absent.stl", "--json"), code=1)["files"]
    assert [row["verdict"] for row in told] == ["print", "reject", "hold"]
    assert set(told[0]) == {"file", "sha256", "verdict", "reasons", "triangles", "bounding_box_mm", "volume_mm3", "shells", "seconds"}
    assert (told[0]["triangles"], told[0]["bounding_box_mm"], told[0]["volume_mm3"], told[0]["shells"]) == (12, [20, 20, 20], 8000, 1)
    assert told[1]["reasons"][0]["code"] == "NOT_STL"


def test_inspect_says_yes_to_good_and_mended_models(tmp_path: Path) -> None:
    good, mended = write_binary_stl(tmp_path / "a.stl", cube()), write_binary_stl(tmp_path / "b.stl", open_cube())
    told = agent("inspect", good, mended)
    assert told.returncode == 0
    assert told.stdout.startswith("print")
    assert "repaired" in told.stdout


# --- quote and slice ----------------------------------------------------------------------------------------------
def test_quote_answers_for_each_printer(home: AgentHome, plate: Path) -> None:
    home.add_virtual("voron", profile="voron-v0")
    told = answer(agent("quote", plate, "--config", home.config, "--infill", 35, "--quantity", 3, "--json"))["quotes"]
    assert [row["printer"] for row in told] == ["mk3s", "voron"]
    assert all(set(row) == {"printer", "ok", "reasons", "print_seconds", "filament_g", "plates"} for row in told)
    assert all(row["ok"] and row["print_seconds"] > 60 and row["filament_g"] > 0.5 and row["plates"] == 1 for row in told)


def test_quote_says_why_not(home: AgentHome, tmp_path: Path) -> None:
    long = write_binary_stl(tmp_path / "bar.stl", bar())
    (row,) = answer(agent("quote", long, "--config", home.config, "--color", "red", "--json"), code=1)["quotes"]
    assert not row["ok"]
    assert any("fits the bed" in reason for reason in row["reasons"])
    assert any("material loaded" in reason for reason in row["reasons"])
    assert (row["print_seconds"], row["plates"]) == (0, 0)


def test_slice_writes_gcode_with_its_proof(home: AgentHome, plate: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (row,) = answer(agent("slice", plate, "-o", out, "--config", home.config, "--infill", 35, "--json"))["plates"]
    assert Path(row["gcode"]).read_bytes().startswith(b"; generated by PrusaSlicer")
    assert Path(row["gcode"]).name == "plate_of_mine-plate-1.gcode"
    assert all(set(line) == {"check", "expected", "found", "ok"} and line["ok"] for line in row["proof"])
    assert {"check": "infill", "expected": "35%", "found": "35%", "ok": True} in row["proof"]
    assert list(out.iterdir()) == [Path(row["gcode"])]


def test_slice_for_several_printers_at_once(home: AgentHome, plate: Path, tmp_path: Path) -> None:
    home.add_virtual("voron", profile="voron-v0")
    home.add_virtual("mk3s-too")
    printers = [word for name in ("mk3s", "voron", "mk3s-too") for word in ("--printer", name)]
    rows = answer(agent("slice", plate, "-o", tmp_path / "out", "--config", home.config, *printers, "--json"))["plates"]
    named = ["plate_of_mine-mk3s-plate-1.gcode", "plate_of_mine-voron-plate-1.gcode", "plate_of_mine-mk3s-too-plate-1.gcode"]
    assert [Path(row["gcode"]).name for row in rows] == named
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(named)
    assert rows[0]["sha256"] == rows[2]["sha256"] != rows[1]["sha256"]


def test_slice_refuses_in_words(home: AgentHome, tmp_path: Path) -> None:
    page = tmp_path / "page.stl"
    page.write_text("not a model at all")
    for file, more, words in (("page", [], "page.stl"), ("absent", [], "absent.stl"), ("page", ["--printer", "mk4"], "no printer mk4")):
        told = agent("slice", tmp_path / f"{file}.stl", "-o", tmp_path / "out", "--config", home.config, *more)
        assert told.returncode == 1
        assert words in told.stderr
    assert list((tmp_path / "out").iterdir()) == []
    nowhere = agent("slice", tmp_path / "page.stl", "-o", page / "out", "--config", home.config)
    assert (nowhere.returncode, "cannot be made" in nowhere.stderr) == (1, True)


# --- how things stand ---------------------------------------------------------------------------------------------
def test_orders_offers_and_printers_tell_how_things_stand(home: AgentHome) -> None:
    with home.desk() as desk:
        order = add_offer(desk.ledger, "shop", make_offer(), datetime.now(UTC) + timedelta(minutes=15))
        assert order is not None
        desk.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    (offer,) = answer(agent("offers", "--config", home.config, "--json"))["offers"]
    assert (offer["offer_id"], offer["state"], offer["payout"]) == ("f1", "offered", "12.50 EUR")
    assert 0 < offer["seconds_left"] <= 900
    assert answer(agent("orders", "--config", home.config, "--json"))["orders"] == []
    shown = answer(agent("orders", "--config", home.config, "show", order.id, "--json"))
    assert shown["history_intact"] is True
    assert [event["kind"] for event in shown["events"]] == ["offered"]
    (printer,) = answer(agent("printers", "--config", home.config, "--json"))["printers"]
    assert (printer["name"], printer["state"], printer["bed"], printer["job"]) == ("mk3s", "idle", "free", "")


def test_orders_and_answers_need_no_secrets_which_only_the_service_has(home: AgentHome) -> None:
    home.add('[[marketplaces]]\nkind = "operator_api"\nname = "m"\nurl = "https://m.io"\ntoken_file = "$CREDENTIALS_DIRECTORY/token"\n')
    assert answer(agent("orders", "--config", home.config, "--json"))["orders"] == []
    assert agent("offers", "--config", home.config).returncode == 0
    assert agent("confirm", "bed", "mk3s", "--config", home.config, "--by", "Ada").returncode == 0
    told = agent("printers", "--config", home.config)
    assert (told.returncode, "CREDENTIALS_DIRECTORY" in told.stderr) == (78, True)


def test_confirm_takes_an_answer_and_refuses_what_was_not_asked(home: AgentHome) -> None:
    assert agent("confirm", "bed", "mk3s", "--config", home.config, "--by", "Ada").returncode == 0
    with home.desk() as desk:
        assert (desk.ledger.beds()["mk3s"].state, desk.ledger.beds()["mk3s"].said_by) == (BedState.FREE, "Ada")
    for wrong in (["bed", "mk4"], ["packed", "o1"], ["photos", "o1"]):
        told = agent("confirm", *wrong, "--config", home.config, "--by", "Ada")
        assert told.returncode == 1, wrong
        assert told.stderr.strip(), wrong
    assert agent("confirm", "bed", "mk3s", "no", "--config", home.config).returncode == 2, "whatever was meant, it was no plain yes"
    assert agent("confirm", "dance", "o1", "--config", home.config).returncode == 2


# --- check --------------------------------------------------------------------------------------------------------
def test_check_says_yes_where_everything_is_there(home: AgentHome) -> None:
    told = answer(agent("check", "--config", home.config, "--json"))
    assert told["ok"] is True
    assert {"configuration", "ledger", "disk", "slicer", "clock", "printer mk3s"} <= {line["subject"] for line in told["findings"]}


def test_check_says_what_is_missing_and_the_way_out(home: AgentHome, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        home.add_octoprint("ender", f"http://127.0.0.1:{port}", "key", profile="ender3")
        home.add_marketplace(f"http://127.0.0.1:{port}/operator/v1", "token")
        told = answer(agent("check", "--config", home.config, "--set", f"slicing.prusaslicer={tmp_path}/none", "--json"), code=1)
    errors = {line["subject"]: line for line in told["findings"] if line["level"] == "error"}
    assert set(errors) == {"slicer", "printer ender", "marketplace sandbox"}
    assert "apt-get install prusa-slicer" in errors["slicer"]["hint"]


def test_check_takes_nothing_from_a_hot_folder(home: AgentHome, plate: Path) -> None:
    inbox = home.folder / "inbox"
    inbox.mkdir()
    dropped = inbox / "part.stl"
    dropped.write_bytes(plate.read_bytes())
    home.add(f'[[marketplaces]]\nkind = "hot_folder"\nname = "walk-in"\npath = "{inbox}"\nstill_s = 0.1\n')
    assert answer(agent("check", "--config", home.config, "--json"))["ok"]
    assert list(inbox.iterdir()) == [dropped]


def test_the_sandbox_starts_alone_and_says_where() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "sandbox", "marketplace", "--token", "secret"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["token"] == "secret"
        assert told["url"].endswith("/operator/v1")
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()
