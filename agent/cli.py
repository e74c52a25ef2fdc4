"""The commands. Each lives in `agent.commands` and is imported only when it is called, so that `inspect` starts in a blink."""

import importlib
import sys

import click

from agent import __version__, logs
from agent.domain.errors import AgentError, ConfigError

EXIT_NO = 1
EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: systemd is told not to start again after it."""

_COMMANDS = {
    "setup": "agent.commands.setup:setup",
    "run": "agent.commands.run:run",
    "reload": "agent.commands.reload:reload_",
    "check": "agent.commands.check:check",
    "doctor": "agent.commands.doctor:doctor",
    "inspect": "agent.commands.inspect:inspect",
    "quote": "agent.commands.models:quote",
    "slice": "agent.commands.models:slice_",
    "profiles": "agent.commands.profiles:profiles",
    "orders": "agent.commands.look:orders",
    "printers": "agent.commands.look:printers",
    "top": "agent.commands.top:top",
    "plan": "agent.commands.plan:plan",
    "offers": "agent.commands.offers:offers",
    "marketplaces": "agent.commands.marketplace:marketplaces",
    "online": "agent.commands.marketplace:online",
    "offline": "agent.commands.marketplace:offline",
    "supplies": "agent.commands.marketplace:supplies",
    "earnings": "agent.commands.marketplace:earnings",
    "replay": "agent.commands.replay:replay",
    "confirm": "agent.commands.confirm:confirm",
    "pair": "agent.commands.people:pair",
    "people": "agent.commands.people:people",
    "label": "agent.commands.label:label",
    "notify": "agent.commands.notify:notify",
    "export": "agent.commands.export:export",
    "verify": "agent.commands.verify:verify",
    "backup": "agent.commands.backup:backup",
    "restore": "agent.commands.restore:restore",
    "rollback": "agent.commands.rollback:rollback",
    "files": "agent.commands.files:files",
    "sandbox": "agent.commands.sandbox:sandbox",
    "demo": "agent.commands.demo:demo",
}


class _Commands(click.Group):
    """Finds a command by name without importing the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="intagly-agent")
def cli() -> None:
    """Takes 3D-print orders, slices them as ordered, prints each once, and leads your hands through the rest."""


def main() -> None:
    """Run a command. Exit: 0 done, 1 the answer is no, 2 wrong usage, 78 bad configuration."""
    logs.configure("warning")  # to stderr; `run` says more
    try:
        sys.exit(cli.main(standalone_mode=False))  # the status of click's Exit, None for a command that came to its end
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except AgentError as error:
        click.echo(error.told(), err=True)
        sys.exit(EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_NO)
