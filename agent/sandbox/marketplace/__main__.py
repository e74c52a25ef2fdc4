"""`python -m agent.sandbox.marketplace`: the marketplace as a process of its own."""

import argparse

from agent.sandbox.marketplace.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m agent.sandbox.marketplace", description="A marketplace on loopback, to try things on.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port (the default)")
    parser.add_argument("--token", default="", help="the bearer token that serves; made up when left out")
    parser.add_argument("--read-only-token", default="", help="a second token that may only read")
    parser.add_argument("--clock-offset", type=float, default=0.0, metavar="SECONDS", help="how wrong its wall clock is")
    given = parser.parse_args()
    serve(given.host, given.port, given.token, read_only_token=given.read_only_token, clock_offset_s=given.clock_offset)


if __name__ == "__main__":
    main()
