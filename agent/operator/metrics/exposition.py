"""Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

Written by hand: see docs/decisions/0030.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from agent.domain.measures import Spread

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Sample:
    labels: Labels
    value: float
    suffix: str = ""
    """After the family's name: `_bucket`, `_sum`, `_count`."""


@dataclass(frozen=True)
class Family:
    """All samples of one name."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    help: str
    samples: list[Sample]


def one(value: float, **labels: str) -> list[Sample]:
    return [Sample(labels, value)]


def each(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [Sample({label: name}, value) for name, value in values.items()]


def spread(measured: Spread, **labels: str) -> Iterator[Sample]:
    """A histogram's samples: buckets that each hold all shorter ones as well."""
    bounds = [*(f"{bound:g}" for bound in measured.bounds), "+Inf"]
    for bound, count in zip(bounds, accumulate(measured.counts), strict=True):
        yield Sample({**labels, "le": bound}, count, "_bucket")
    yield Sample(labels, measured.seconds, "_sum")
    yield Sample(labels, sum(measured.counts), "_count")


def text(families: Iterable[Family]) -> str:
    """Families without samples are left out."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    told = family.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {told}\n# TYPE {family.name} {family.kind}\n"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
        yield f"{family.name}{sample.suffix}{'{' + labels + '}' if labels else ''} {_number(sample.value)}\n"


def _escaped(value: str) -> str:
    """A name may be anything; half a character of a broken text is no UTF-8."""
    clean = value.encode("utf-8", "replace").decode()
    return clean.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
