"""Runs the cases against one server, in an order in which each finds what it needs."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from agent.domain.errors import Refused
from agent.sandbox.conformance import acting, happenings, ordering, reading, things
from agent.sandbox.conformance.bench import Bench
from agent.sandbox.conformance.caller import Caller, Patience
from agent.sandbox.conformance.contract import Contract
from agent.sandbox.conformance.verdicts import Case, Failed, Outcome, Result, Skipped

CASES: tuple[Case, ...] = (
    *reading.CASES,
    *things.CASES,
    *happenings.CASES,
    *acting.CASES,
    *ordering.CASES,
    *reading.LAST,
)
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)


@dataclass(frozen=True)
class Options:
    """`act`: accept, decline, order, submit. `reader`: a token that may only read. `person`: who agrees to attestations.

    `only`: the names of the cases to try, empty: all. `transport`: the way to the server, where it is not plain HTTP.
    """

    url: str
    token: str
    act: bool = False
    reader: str = ""
    person: str = ""
    only: frozenset[str] = frozenset()
    patience: Patience = field(default_factory=Patience)
    transport: httpx.BaseTransport | None = None


def run(options: Options) -> Iterator[Result]:
    """Each case as it ends. Refused where the server cannot be asked at all, so that this is not told forty times."""
    contract = Contract.read()
    with httpx.Client(timeout=_TIMEOUT, transport=options.transport, follow_redirects=False, trust_env=False) as http:
        caller = Caller(http, contract, options.url, options.token, options.patience, may_act=options.act)
        _serves(caller)
        bench = Bench(caller, contract, person=options.person, reader=options.reader)
        for case in CASES:
            if case.name in options.only or not options.only:
                yield _tried(case, bench)


def _serves(caller: Caller) -> None:
    hint = "Give its address, as in http://…/operator/v1."
    try:
        caller.call("getStatus", (200, 401, 403))
        caller.call("getStatus")
    except Failed as failed:
        if failed.found.startswith(("401", "403")):
            raise Refused(f"The server does not take the token: {failed.found}.", hint="Give one that serves with --token-file.") from None
        if failed.expected.startswith("an answer"):
            raise Refused(f"The server cannot be asked: {failed.found}.", hint=hint) from None
        # It answers, if not as it should: the cases tell that.
    except httpx.InvalidURL as error:
        raise Refused(f"That is no address: {error}.", hint=hint) from None


def _tried(case: Case, bench: Bench) -> Result:
    contract = bench.contract.paragraph(case.paragraph)
    if case.acts and not bench.caller.may_act:
        return Result(case.name, Outcome.SKIPPED, contract, reason="needs --act: it sends more than GET")
    try:
        case.run(bench)
    except Skipped as skipped:
        return Result(case.name, Outcome.SKIPPED, contract, reason=str(skipped))
    except Failed as failed:
        where = bench.contract.paragraph(failed.paragraph) if failed.paragraph else contract
        return Result(case.name, Outcome.FAILED, where, failed.expected, failed.found)
    return Result(case.name, Outcome.OK, contract)
