"""docs/metrics: the page names what is served, and no alert and no panel asks for anything else."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from agent.domain.figures import History, PrintSeconds, Standing
from agent.domain.measures import Measures, Spread
from agent.domain.offer import DeclineReason
from agent.domain.order import State
from agent.domain.printer import PrinterObservation, PrinterState, Temperatures
from agent.domain.question import Step
from agent.ledger.database import utc_now
from agent.operator.metrics.exposition import Family, text
from agent.operator.metrics.process import Disk, process_families
from agent.operator.metrics.shop import PrinterFigures, measure_families, order_families, print_families, printer_families

DOCS = Path(__file__).parents[2] / "docs/metrics"
PROMTOOL = shutil.which("promtool")
_WORDS = {
    *("sum", "min", "max", "by", "on", "and", "or", "increase", "delta", "rate", "histogram_quantile", "time"),
    *("state", "step", "answer", "reason", "kind", "result", "printer", "marketplace", "instance", "job", "le", "why", "slicer", "outcome"),
}
"""What an expression is made of beside metrics: functions, and the labels they are used by."""
_OF_PROMETHEUS = {"up"}


def _everything() -> list[Family]:
    """Every family there can be, with at least one sample."""
    history, measures, writes = History(), Measures(), Spread((1.0,))
    history.prints["mk3s", "finished"] = 1
    history.kinds["decided"] = 1
    for kind in ("marketplace", "printer"):
        measures.looked(kind, "one", answered=True)
    measures.errors["bug"] = 1
    measures.sliced("prusaslicer", 1.0)
    now = Standing({}, {"sandbox": 1}, {}, {"mk3s": PrintSeconds(1, 60.0)}, {"finished": 3.0}, {"arrived": 1}, utc_now())
    seen = PrinterObservation(state=PrinterState.PRINTING, progress=0.5, seconds_left=60)
    warm = Temperatures(nozzle_c=200, nozzle_target_c=215, bed_c=60, bed_target_c=60)
    return [
        *order_families(history, now),
        *print_families(history, now),
        *printer_families({"mk3s": PrinterFigures(seen, None, warm)}),
        *measure_families(measures, writes),
        *Disk(DOCS).families(),
        *process_families("1.2.3"),
    ]


def _served() -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels."""
    families = {family.name: family for family in _everything()}
    return {
        name: (family.kind, {label for sample in family.samples for label in sample.labels} - {"le"}) for name, family in families.items()
    }


def _series() -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text(_everything())) for sample in family.samples}


def _documented() -> dict[str, tuple[str, set[str]]]:
    found = {}
    for line in (DOCS / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith(("| `intagly_", "| `process_")):
            names, kind, labels, _ = (cell.strip() for cell in line.strip("|").split("|"))
            for name in re.findall(r"`(\w+)`", names):
                found[name] = (kind, set(re.findall(r"`(\w+)`", labels)))
    return found


def test_the_page_names_what_is_served_with_its_type_and_labels() -> None:
    documented = _documented()
    for name, (kind, labels) in _served().items():
        assert documented[name][0] == kind, name
        assert labels <= documented[name][1], name
    assert documented.keys() == _served().keys()


def test_names_and_units_are_as_prometheus_wants_them() -> None:
    for name, (kind, _) in _served().items():
        assert re.fullmatch(r"(intagly|process)(_[a-z]+)+", name)
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(ms|minutes|hours|percent|kb|mb|mib|celcius)(_|$)", name), name


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DOCS / "alerts.rules.yml").read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def _panels() -> Iterator[tuple[str, str]]:
    for panel in json.loads((DOCS / "dashboard.json").read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def _expressions() -> list[tuple[str, str]]:
    return [*((rule["alert"], rule["expr"]) for rule in _rules()), *_panels()]


@pytest.mark.parametrize(("where", "expression"), _expressions())
def test_an_expression_asks_only_for_what_is_served(where: str, expression: str) -> None:
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]', "", expression)
    names = set(re.findall(r"\b[a-zA-Z_]\w*", bare)) - _WORDS
    assert names, where
    assert names <= _series() | _OF_PROMETHEUS, f"{where}: {names - _series()}"


@pytest.mark.parametrize(("where", "expression"), _expressions())
def test_labels_are_compared_with_words_that_are_said(where: str, expression: str) -> None:
    known = {
        "step": set(Step),
        "state": {*State, *PrinterState},
        "reason": set(DeclineReason),
        "result": {"ok", "error", "finished", "failed", "cancelled"},
        "answer": {"accepted", "declined", "expired", "lost", "gone"},
        "outcome": {"arrived", "failed", "sending", "lost"},
        "kind": {"bug"},
        "job": {"intagly"},
    }
    for label, values in re.findall(r'(\w+)(?:=|!=|=~|!~)"([^"]*)"', expression):
        assert set(values.split("|")) <= {str(value) for value in known[label]}, where


@pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_takes_the_rules_and_the_metrics() -> None:
    _promtool("check", "rules", str(DOCS / "alerts.rules.yml"))
    _promtool("check", "metrics", told=text(_everything()))


def _promtool(*arguments: str, told: str = "") -> None:
    done = subprocess.run([str(PROMTOOL), *arguments], input=told, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
