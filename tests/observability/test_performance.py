"""docs/performance.md is what the benches wrote: met and not met, and what was not run is said to be so."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import performance
from bench.figures import RESULTS, Figure, told
from bench.performance import BENCHES, Run, page, plot

KEPT = Figure("fast enough", 0.5, "s", 1.0)
BROKEN = Figure("<slow> & more", 3.0, "s", 1.0, beside=1.5)
LEAST = Figure("lines", 50.0, "", 100.0, at_least=True)


def _run(*figures: Figure) -> Run:
    return Run("2026-11-27T20:00+00:00", "2 cores", 0.1, 12.0, 1, list(figures))


def test_each_figure_stands_there_with_its_promise_and_what_it_is_compared_with() -> None:
    told_there = page(dict.fromkeys(BENCHES) | {"idle": _run(KEPT, BROKEN, LEAST)})
    assert "Of 3 promises measured 1 are met." in told_there
    assert "| fast enough | 0.5 s |  |  | at most 1: met | 0.50 |" in told_there
    assert "| <slow> & more | 3 s | 1.5 | 2.00 | **at most 1: NOT MET** | 3.00 |" in told_there
    assert "**at least 100: NOT MET** | 2.00 |" in told_there


def test_a_bench_that_was_not_run_or_died_is_said_so() -> None:
    told_there = page(dict.fromkeys(BENCHES) | {"life": _run()})
    assert told_there.count("**Not run** for this page.") == len(BENCHES) - 1
    assert "It ended without figures, with status 1." in told_there


def test_the_plot_is_an_svg_with_a_bar_for_each_promise() -> None:
    drawn = ElementTree.fromstring(plot([KEPT, BROKEN, LEAST, Figure("no promise", 1.0, "s")]))
    colors = [bar.get("fill") for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert colors == ["#2b7a4b", "#b3261e", "#b3261e"]


def test_figures_are_kept_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(RESULTS, str(tmp_path))
    assert told("idle", [KEPT, BROKEN]) == 1
    assert [figure["met"] for figure in json.loads((tmp_path / "idle.json").read_text())] == [True, False]
    assert "at most 1: NOT MET" in capsys.readouterr().out


def test_an_unknown_bench_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert performance.main("idel") == 2
    assert "There are order_to_printing" in capsys.readouterr().err
