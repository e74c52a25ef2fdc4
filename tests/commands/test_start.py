"""What a command loads before it can begin. Somebody waits for each of these modules, on a Raspberry Pi for seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.models import SUPPORTS
from agent.domain.offer import Supports

ROOT = Path(__file__).parents[2]
HEAVY = {"numpy", "trimesh", "sqlalchemy", "alembic", "httpx", "requests", "octorest", "paho", "apprise", "rich", "reportlab", "PIL"}


def loaded(*modules: str) -> set[str]:
    """Every module that is there once these are."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_process_that_judges_models_is_started_before_anything_large_is_loaded() -> None:
    found = loaded("agent.cli", "agent.commands.models", "agent.commands.workbench_start")
    assert not found & (HEAVY | {"pydantic"}), "the worker's start waits for these"


def test_slicing_loads_no_more_than_slicing_needs() -> None:
    found = loaded("agent.cli", "agent.commands.models", "agent.config.load", "agent.commands.workbench")
    assert not found & (HEAVY | {"agent.workflow.shop", "agent.wiring", "agent.ledger.sql_ledger"})


@pytest.mark.parametrize("first", ["agent.logs", "rich.console"])
def test_logging_leaves_rich_to_those_who_want_it(first: str) -> None:
    """structlog would take it along; whoever has it, or asks for it later, gets it."""
    code = f"import {first}, agent.logs, sys; print('rich' in sys.modules); from rich.console import Console; print(Console.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == [str(first == "rich.console"), "Console"]


def test_the_answers_about_supports_are_those_an_order_can_have() -> None:
    assert list(SUPPORTS) == [value.value for value in Supports]
