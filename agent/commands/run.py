"""`run`: the daemon."""

import asyncio

import click

from agent import logs
from agent.commands.options import ConfigSource, config_option
from agent.daemon import serve


@click.command()
@config_option
def run(config: ConfigSource) -> None:
    """Run until SIGTERM or Ctrl-C. Prints that run go on without the agent and are picked up again."""
    settings = config.settings()
    logs.configure()
    asyncio.run(serve(settings))
