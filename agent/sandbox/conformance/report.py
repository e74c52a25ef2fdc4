"""What a run found, a line a case for a person and a document for a program."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from agent.sandbox.conformance.kit import Options, run
from agent.sandbox.conformance.verdicts import Outcome, Result


def check(options: Options, say: Callable[[str], object] | None = None) -> tuple[dict[str, Any], bool]:
    """The document, and whether nothing failed. `say` is told each case as it ends, and the sum."""
    results: list[Result] = []
    for result in run(options):
        results.append(result)
        if say is not None:
            say(line(result))
    if say is not None:
        say(total(results))
    counts = Counter(result.outcome for result in results)
    document = {
        "url": options.url,
        "acted": options.act,
        **{outcome.value: counts[outcome] for outcome in Outcome},
        "cases": [asdict(result) for result in results],
    }
    return document, not counts[Outcome.FAILED]


def line(result: Result) -> str:
    start = f"{result.outcome.value:<8} {result.case:<26}"
    match result.outcome:
        case Outcome.OK:
            return start.rstrip()
        case Outcome.SKIPPED:
            return f"{start} {result.reason}"
        case Outcome.FAILED:
            return f"{start} expected {result.expected}; found {result.found}\n{'':36}The contract: {result.contract}"


def total(results: Iterable[Result]) -> str:
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome)
