"""`sandbox`: servers on loopback that play the outside world, to try the agent on."""

from pathlib import Path
from typing import Any

import click

from agent.commands.options import json_option, say_json
from agent.domain.errors import Refused
from agent.sandbox.bambu.settings import Settings
from agent.sandbox.klipper.settings import PROGRAMS
from agent.sandbox.klipper.settings import Settings as KlipperSettings
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


@sandbox.command()
@click.option("--folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Its card, state and journal.")
@click.option("--serial", default=Settings.serial, show_default=True)
@click.option("--access-code", default=Settings.access_code, show_default=True)
@click.option("--host", default=Settings.host, show_default=True)
@click.option("--mqtt-port", default=0, type=click.IntRange(0, 65535), help="A real printer's is 8883. 0: any free port (the default).")
@click.option("--ftps-port", default=0, type=click.IntRange(0, 65535), help="A real printer's is 990. 0: any free port (the default).")
@click.option("--camera-port", default=0, type=click.IntRange(0, 65535), help="A real printer's is 6000. 0: any free port (the default).")
@click.option("--model", default=Settings.model, show_default=True)
@click.option("--speed", default=60.0, show_default=True, help="How many times faster than predicted it prints.")
@click.option("--remember", is_flag=True, help="Go on with the state it was ended in.")
def bambu(**settings: Any) -> None:
    """A Bambu printer in LAN mode. Says where, as one line of JSON, when all its ports answer; ends with Ctrl-C.

    Needs mosquitto. The person beside it and its faults are asked for over its control port: see docs/sandbox.md.
    """
    try:
        # The libraries it needs are an extra, and no other command waits for them.
        from agent.sandbox.bambu.serve import serve as serve_bambu  # noqa: PLC0415
    except ImportError as error:
        hint = "Install the extra: pip install 'intagly-agent[sandbox]'."
        raise Refused(f"The sandbox printer needs the Python package {error.name}.", hint=hint, code="missing_extra") from error
    try:
        serve_bambu(Settings(**settings))
    except OSError as error:
        raise Refused(
            f"A port on {settings['host']} cannot be had: {error.strerror}.", hint="Choose other ports.", code="port_taken"
        ) from error


@sandbox.command()
@click.option("--folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Its files, logs and passwords.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Moonraker's; a real one's is 7125. 0: any free port (the default).")
@click.option("--mqtt-port", default=0, type=click.IntRange(0, 65535), help="The broker's. 0: any free port (the default).")
@click.option("--instance-name", default=KlipperSettings.instance_name, show_default=True)
@click.option(
    "--programs", default=PROGRAMS, type=click.Path(path_type=Path, file_okay=False), help="Where scripts/klipper-venvs.sh installed them."
)
def klipper(**settings: Any) -> None:
    """Klipper's test machine: real Klippy and Moonraker, a broker, a simulated board. Says where, as one line of JSON, when a print could
    begin; ends with Ctrl-C.

    Needs mosquitto, and what scripts/klipper-venvs.sh installs. Its faults: see docs/sandbox.md.
    """
    from agent.sandbox.klipper.serve import serve as serve_klipper  # noqa: PLC0415 - requests loads slowly, and no other command waits

    try:
        serve_klipper(KlipperSettings(**settings))
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}.", hint="Choose another --folder.", code="bad_folder") from error


@sandbox.command()
@click.option("--url", required=True, help="Where the server's paths begin, such as https://market.example/operator/v1.")
@click.option("--token", default="", envvar="OPERATOR_API_TOKEN", help="The bearer token. Others on this machine see a command line.")
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="A file with the token instead.")
@click.option(
    "--read-only-token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="A file with a token that may only read."
)
@click.option(
    "--act", is_flag=True, help="Also what has consequences: accept an order and lead it to its delivery, decline one, ask for supplies."
)
@click.option("--person", default="", metavar="NAME", help="With --act: who agrees to what the order asks a person to agree to.")
@click.option(
    "--case", "only", multiple=True, metavar="NAME", help="Only this case. Repeatable; most with --act need offers.accept before."
)
@json_option
def conformance(
    url: str,
    token: str,
    token_file: Path | None,
    read_only_token_file: Path | None,
    act: bool,
    person: str,
    only: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check any server that claims the Operator API, case by case. Exit 0: none failed. 1: some did.

    Without --act only GET is sent. With it, real orders are accepted, submitted and marked as delivered: use an account for tests.
    """
    try:
        # What reads the contract is an extra, and no other command waits for it.
        from agent.sandbox.conformance.kit import CASES, Options  # noqa: PLC0415
        from agent.sandbox.conformance.report import check  # noqa: PLC0415
    except ImportError as error:
        hint = "Install the extra: pip install 'intagly-agent[sandbox]'."
        raise Refused(f"The conformance kit needs the Python package {error.name}.", hint=hint, code="missing_extra") from error
    token = _secret(token_file) or token
    if not token:
        raise click.UsageError("Give the token with --token-file, --token or OPERATOR_API_TOKEN.")
    reader = _secret(read_only_token_file)
    _must_be_sendable(token + reader)
    if unknown := sorted(set(only) - {case.name for case in CASES}):
        raise click.UsageError(f"There is no case {', '.join(unknown)}. There are: {', '.join(case.name for case in CASES)}.")
    options = Options(url, token, act=act, reader=reader, person=person, only=frozenset(only))
    document, conforms = check(options, None if as_json else click.echo)
    if as_json:
        say_json(document)
    if not conforms:
        raise click.exceptions.Exit(1)


def _secret(file: Path | None) -> str:
    return file.read_text("utf-8", errors="replace").strip() if file else ""


def _must_be_sendable(token: str) -> None:
    if not (token.isascii() and token.isprintable()):
        raise click.UsageError("The token holds characters no token has.")
