"""`run`: the daemon."""

import asyncio
from dataclasses import replace

import click

from agent import logs
from agent.commands.options import ConfigSource, config_option
from agent.daemon import serve


@click.command()
@config_option
def run(config: ConfigSource) -> None:
    """Run until SIGTERM or Ctrl-C. Prints that run go on without the agent and are picked up again. SIGHUP reads the configuration anew."""
    config = replace(config, path=config.file())  # read again, it is the same one
    settings = config.settings()
    logs.configure()
    asyncio.run(serve(settings, config.settings))
