"""What a run tells at its end besides what passed: the figures that tests recorded."""

from collections.abc import Callable

import pytest

FIGURES = "figures"
"""The name of a test's property (record_property) that is shown."""
Tell = Callable[[str, object], None]
"""What the fixture record_property is."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [str(value) for report in terminalreporter.getreports("passed") for name, value in report.user_properties if name == FIGURES]
    if told:
        terminalreporter.section("figures")
        for line in sorted(told):
            terminalreporter.write_line(line)
