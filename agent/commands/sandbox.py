"""`sandbox`: servers on loopback that play the outside world, to try the agent on."""

import click

from agent.domain.errors import Refused
from agent.sandbox.marketplace.server import serve


@click.group()
def sandbox() -> None:
    """Servers on this machine that play the outside world."""


@sandbox.command()
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="0: any free port (the default).")
@click.option("--token", default="", help="The bearer token that serves; made up when left out.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--read-only-token", default="", help="A second token that may only read.")
@click.option("--clock-offset", default=0.0, metavar="SECONDS", help="How wrong its wall clock is.")
def marketplace(port: int, token: str, host: str, read_only_token: str, clock_offset: float) -> None:
    """A marketplace that speaks the Operator API. Says where, as one line of JSON, when it listens; ends with Ctrl-C.

    Offers and faults are made over its control address: see docs/sandbox.md.
    """
    try:
        serve(host, port, token, read_only_token=read_only_token, clock_offset_s=clock_offset)
    except OSError as error:
        raise Refused(
            f"Port {port} on {host} cannot be had: {error.strerror}.", hint="Choose another --port.", code="port_taken"
        ) from error
