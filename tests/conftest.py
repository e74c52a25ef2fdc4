"""What a run on several workers begins with, and what it tells at its end besides what passed: the figures that tests recorded."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more of the machine than of the product: figures are bench/'s.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

FIGURES = "figures"
"""The name of a test's property (record_property) that is shown."""
Tell = Callable[[str, object], None]
"""What the fixture record_property is."""
_LONGEST = (
    *("octoprint kills", "browser", "bambu kills", "moonraker kills", "virtual kills"),
    *("test_killed_once_at_every_point_of_an_orders_life", "klipper", "octoprint", "bambu", "lying printers", "three families"),
)
"""Groups and tests of minutes, the longest first: begun last, one worker would be at them while the others have nothing to do."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On one worker all stay in the order of their files. On several, what takes long begins first (with --no-loadscope-reorder)."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    name = group.args[0] if group is not None else item.name.partition("[")[0]
    if name in _LONGEST:
        return _LONGEST.index(name)
    if group is not None:
        return len(_LONGEST)
    return len(_LONGEST) + (1 if item.get_closest_marker("slow") is not None else 2)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [str(value) for report in terminalreporter.getreports("passed") for name, value in report.user_properties if name == FIGURES]
    if told:
        terminalreporter.section("figures")
        for line in sorted(told):
            terminalreporter.write_line(line)
