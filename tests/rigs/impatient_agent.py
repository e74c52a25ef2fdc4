"""The real agent with shorter patience: `python -m tests.rigs.impatient_agent run …`. Everything else is the product as it is.

Seconds where it has minutes for a printer that makes no sense, and a second or two where it has five or ten for an answer.
"""

from functools import partial

from agent import wiring
from agent.cli import main
from agent.printers import bounded_http
from agent.printers.moonraker import rpc
from agent.workflow.shop import Pace

_PACE = Pace(makes_no_sense_s=4.0, idle_printer_s=0.5, printing_s=0.5, printer_away_s=0.5)

wiring.Shop = partial(wiring.Shop, pace=_PACE)  # type: ignore[misc,assignment]
bounded_http.ANSWER_S = 2.0
rpc.ANSWER_S = 1.5

if __name__ == "__main__":
    main()
