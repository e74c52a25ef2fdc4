"""`python -m agent.sandbox.bambu`: one printer, until it is told to end. Says where, as one line of JSON, when all its ports answer."""

import argparse
from pathlib import Path

from agent.sandbox.bambu.serve import serve
from agent.sandbox.bambu.settings import Settings


def settings_of(arguments: list[str] | None = None) -> Settings:
    """From a command line."""
    parser = argparse.ArgumentParser(prog="agent.sandbox.bambu", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="its card, journal, certificates and state")
    parser.add_argument("--serial", default="01P00A000000001")
    parser.add_argument("--access-code", default="12345678")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--mqtt-port", type=int, default=0)
    parser.add_argument("--ftps-port", type=int, default=0)
    parser.add_argument("--camera-port", type=int, default=0)
    parser.add_argument("--model", default="P1S")
    parser.add_argument("--firmware", default="01.08.02.00")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than predicted it prints")
    parser.add_argument("--default-s", type=float, default=60.0, help="a print's length when its file does not tell")
    parser.add_argument("--stale-s", type=float, default=0.2, help="how long the old state stands after a start")
    parser.add_argument("--prepare-s", type=float, default=0.3)
    parser.add_argument("--heartbeat-s", type=float, default=2.0)
    parser.add_argument("--ftps", choices=["pyftpdlib", "none"], default="pyftpdlib")
    parser.add_argument("--no-session-reuse", dest="session_reuse", action="store_false", help="take data channels with a new session")
    parser.add_argument("--hang-unwrap", action="store_true", help="do not answer the end of TLS on the data channel")
    parser.add_argument("--remember", action="store_true", help="go on with the state it was ended in")
    return Settings(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    serve(settings_of())
