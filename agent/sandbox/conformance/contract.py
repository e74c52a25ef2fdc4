"""The contract's file: its operations, its rules in words, and whether an answer is as it says."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from agent.sandbox.conformance.verdicts import Failed, shown

PROBLEM = "application/problem+json"
_URI = "urn:operator-api"
_NOT_NOW = 503
"""Beside every 4xx what any operation may answer as a problem (`default`)."""
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_METHODS = ("get", "put", "post", "delete", "patch")


def contract_file() -> Path:
    """In a checkout the document itself, else what was installed of it."""
    checkout = Path(__file__).parents[3] / "docs" / "operator-api.yaml"
    return checkout if checkout.is_file() else Path(sys.prefix) / "share" / "intagly-agent" / "operator-api.yaml"


def moment(text: str) -> datetime:
    """A time of the contract. ValueError where it is no RFC 3339 time."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("no RFC 3339 time")
    # A leap second is a time too, and datetime knows none.
    return datetime.fromisoformat(re.sub(r":60(?=[.Zz+-])", ":59", text.upper()))


def _formats(*, in_utc: bool) -> FormatChecker:
    checker = FormatChecker(formats=())

    @checker.checks("date-time", raises=ValueError)
    def _date_time(value: object) -> bool:
        return not isinstance(value, str) or moment(value).utcoffset() == timedelta(0) or not in_utc

    @checker.checks("date", raises=ValueError)
    def _date(value: object) -> bool:
        return not isinstance(value, str) or bool(date.fromisoformat(value))

    return checker


@dataclass(frozen=True)
class Operation:
    """One operation. `responses`: what may be answered, by status, with every reference resolved one step."""

    operation_id: str
    method: str
    path: str
    description: str
    responses: Mapping[str, Mapping[str, Any]]

    def told(self) -> str:
        return f"{self.method} {self.path}: {self.description}".removesuffix(": ")


class Contract:
    """docs/operator-api.yaml, read once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._registry: Registry[Any] = Registry().with_resource(_URI, DRAFT202012.create_resource(document))
        self._validators: dict[str, Draft202012Validator] = {}
        self._formats = {in_utc: _formats(in_utc=in_utc) for in_utc in (False, True)}
        self.operations = {operation.operation_id: operation for operation in self._operations()}
        self.rules = _rules(document["info"]["description"])

    @classmethod
    @cache
    def read(cls) -> "Contract":
        return cls(yaml.safe_load(contract_file().read_text("utf-8")))

    def paragraph(self, key: str) -> str:
        """The contract's own words. KeyError where it has no such operation and no rule that begins so."""
        if key in self.operations:
            return self.operations[key].told()
        for rule in self.rules:
            if rule.startswith(key):
                return rule
        raise KeyError(key)

    def check(self, operation_id: str, status: int, content_type: str, body: Any) -> None:
        """Failed where this status, this kind of content or this JSON is not what the operation may answer."""
        operation = self.operations[operation_id]
        response = operation.responses.get(str(status))
        if response is None:
            if status // 100 != 4 and status != _NOT_NOW:
                raise Failed(f"one of {', '.join(sorted(operation.responses))}", str(status), operation_id)
            response = operation.responses["default"]
        kinds = response.get("content", {})
        kind = content_type.partition(";")[0].strip().lower()
        if kinds and kind not in kinds:
            raise Failed(f"Content-Type {' or '.join(kinds)} with {status}", kind or "none", operation_id)
        if kinds and "schema" in kinds[kind]:
            self._check_schema(kinds[kind]["schema"], body, operation_id)
        if kind == PROBLEM and body["status"] != status:
            raise Failed(f"status {status} in the problem, as in the answer", str(body["status"]), "Errors are")

    def check_as(self, schema: str, value: Any, paragraph: str, *, in_utc: bool = False) -> None:
        """The same for a value of one of the contract's schemas; `in_utc`: and every time in it is told in UTC."""
        self._check_schema({"$ref": f"#/components/schemas/{schema}"}, value, paragraph, in_utc=in_utc)

    def _check_schema(self, schema: Mapping[str, Any], value: Any, paragraph: str, *, in_utc: bool = False) -> None:
        key = f"{in_utc} {json.dumps(schema)}"
        if key not in self._validators:
            formats = self._formats[in_utc]
            self._validators[key] = Draft202012Validator(_absolute(schema), registry=self._registry, format_checker=formats)
        validator = self._validators[key]
        error = next(iter(sorted(validator.iter_errors(value), key=lambda one: list(map(str, one.path)))), None)
        if error is not None:
            place = ".".join(str(part) for part in error.absolute_path) or "the answer"
            raise Failed(f"{place} as the contract's schema says", shown(error.message), paragraph)

    def _operations(self) -> list[Operation]:
        return [
            Operation(
                operation_id=entry["operationId"],
                method=method.upper(),
                path=path,
                description=" ".join(str(entry.get("description", "")).split()),
                responses={status: self._resolved(response) for status, response in entry["responses"].items()},
            )
            for path, entries in self._document["paths"].items()
            for method, entry in entries.items()
            if method in _METHODS
        ]

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = node.get("$ref")
        if reference is None:
            return node
        found: Any = self._document
        for part in str(reference).removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)


def _rules(description: str) -> list[str]:
    """The points of the description, each on one line."""
    _, _, points = description.partition("\n- ")
    return [" ".join(point.split()) for point in points.split("\n- ")]


def _absolute(node: Any) -> Any:
    """A piece of the document whose references still lead into the document."""
    match node:
        case dict():
            return {key: f"{_URI}{value}" if key == "$ref" else _absolute(value) for key, value in node.items()}
        case list():
            return [_absolute(value) for value in node]
        case _:
            return node
