"""`reload`: the running daemon reads its configuration anew."""

import os
import signal

import click

from agent.commands.at_work import pid_at_work
from agent.commands.options import ConfigSource, config_option
from agent.domain.errors import Refused
from agent.shopfloor import data_dir


@click.command("reload")
@config_option
def reload_(config: ConfigSource) -> None:
    """Tell the daemon to work by the configuration as it is now. Its mistakes are told here first, and then nothing is changed (78).

    As `systemctl reload intagly-agent`. What came of it is in the daemon's log.
    """
    settings = config.settings(needs_secrets=False)
    folder = data_dir(settings)
    pid = pid_at_work(folder)
    if pid is None:
        raise Refused(f"No agent is at work in {folder}.", hint="Start it: it reads the configuration then.", code="not_at_work")
    try:
        os.kill(pid, signal.SIGHUP)
    except PermissionError as error:
        raise Refused(
            f"The agent is process {pid} of another user.", hint="Run it as root: sudo systemctl reload intagly-agent."
        ) from error
    except ProcessLookupError as error:
        raise Refused(f"The agent, process {pid}, has just ended.", hint="Start it: it reads the configuration then.") from error
    click.echo(f"Told process {pid}.")
