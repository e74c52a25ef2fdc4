"""From files, environment and command line to settings, with all mistakes at once."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from agent.config.across import double_marketplaces, double_printers, unknown_profiles
from agent.config.layers import Layer, first, from_command_line, from_environment, origin
from agent.config.mistakes import BadConfiguration, Finding, Mistake, findings
from agent.config.model import OperatorApiSettings, Settings, layered
from agent.config.places import lines_of
from agent.config.printer import PrinterSettings, VirtualSettings
from agent.config.values import Reading, located, reading, reading_with, text_of

_LARGEST_BYTES = 1024 * 1024
_T = TypeVar("_T")
_PRINTER: TypeAdapter[PrinterSettings] = TypeAdapter(PrinterSettings)


def load(path: Path, overrides: Mapping[str, str] = {}, environ: Mapping[str, str] = os.environ, *, needs_secrets: bool = True) -> Settings:
    """The settings, printers included. BadConfiguration with every mistake of every file.

    `overrides`: `{"mqtt.host": "broker"}`, from the command line; they win over the environment, which wins over the file.
    `needs_secrets` False: tokens and keys that cannot be read here stay empty, and are no mistake.
    """
    mistakes: list[Mistake] = []
    with reading_with(Reading(path.absolute().parent, environ, needs_secrets=needs_secrets)) as here:
        main = _read(path, mistakes)
        layers = [from_command_line(overrides, mistakes), from_environment(environ, mistakes), *([main] if main else [])]
        trees = [layer.values for layer in layers]
        settings = _validated(lambda: layered(*trees), layers, mistakes, Settings)
        printers = _load_printers(layers, mistakes)
        mistakes += double_marketplaces(layers)
    if mistakes or settings is None:
        raise BadConfiguration(_by_place(mistakes))
    return settings.completed(printers, [*here.warnings, *_warnings(settings, printers)], path.absolute())


def _by_place(mistakes: list[Mistake]) -> list[Mistake]:
    """As a person walks through them: file by file, from top to bottom."""
    files = list(dict.fromkeys(mistake.file for mistake in mistakes))
    return sorted(mistakes, key=lambda mistake: (files.index(mistake.file), mistake.line or 0))


def _read(path: Path, mistakes: list[Mistake]) -> Layer | None:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            mistakes.append(Mistake(str(path), "the file", "a file of at most 1 MB", "a bigger one"))
            return None
        text = content.decode("utf-8-sig")
        return Layer(str(path), tomllib.loads(text), lines=lines_of(text))
    except OSError as error:
        mistakes.append(Mistake(str(path), "the file", "a file that can be read", str(error.strerror)))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        mistakes.append(Mistake(str(path), "the file", "text in UTF-8", "another encoding", line))
    except (ValueError, RecursionError) as error:
        mistakes.append(_syntax_mistake(path, error))
    return None


def _syntax_mistake(path: Path, error: Exception) -> Mistake:
    """tomllib tells line and column in words: `… (at line 3, column 5)`."""
    match = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    reason = re.sub(r"\s*\(at .*", "", str(error)) or type(error).__name__
    where = f"column {match[2]}" if match else "the file"
    return Mistake(str(path), where, "TOML", reason[:200], int(match[1]) if match else None)


def _validated(make: Callable[[], _T], layers: Sequence[Layer], mistakes: list[Mistake], model: Any) -> _T | None:
    """What `make` makes, or None and its mistakes, each said of the layer its value came from."""
    try:
        return make()
    except ValidationError as error:
        mistakes += [origin(finding.loc, layers).mistake(finding) for finding in findings(error, model)]
        return None


def _load_printers(layers: Sequence[Layer], mistakes: list[Mistake]) -> list[PrinterSettings]:
    files: list[Layer] = []
    printers: list[PrinterSettings] = []
    for path in _printer_files(layers, mistakes):
        if file := _read(path, mistakes):
            files.append(file)
            printers += [printer] if (printer := _printer(file, mistakes)) else []
    mistakes += [*double_printers(files), *unknown_profiles(files, layers)]
    return printers


def _printer(file: Layer, mistakes: list[Mistake]) -> PrinterSettings | None:
    with reading_with(replace(reading(), folder=Path(file.source).parent)):
        return _validated(partial(_PRINTER.validate_python, file.values), [file], mistakes, PrinterSettings)


def _printer_files(layers: Sequence[Layer], mistakes: list[Mistake]) -> list[Path]:
    """The files in the folder that the configuration names, also where that configuration has other mistakes."""
    named = first(layers, "agent", "printers_dir")
    try:
        folder = located(text_of("printers" if named is None else named, "a path"))
    except ValueError:
        return []  # told as a mistake of [agent] printers_dir
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except OSError as error:
        if named is not None or not isinstance(error, FileNotFoundError):
            loc = ("agent", "printers_dir")
            expected = f"the folder with the printers' files ({folder})"
            mistakes.append(origin(loc, layers).mistake(Finding(loc, expected, str(error.strerror))))
    return []


def _warnings(settings: Settings, printers: Sequence[PrinterSettings]) -> list[str]:
    warnings = [
        f"{marketplace.name}: the token goes over the network in the clear; use https"
        for marketplace in settings.marketplaces
        if isinstance(marketplace, OperatorApiSettings) and _in_the_clear(marketplace.url)
    ]
    if not settings.marketplaces:
        warnings.append("no marketplace is configured: no order will come")
    if not printers:
        warnings.append("no printer is configured: nothing can be accepted")
    virtual = [printer.name for printer in printers if isinstance(printer, VirtualSettings)]
    if 0 < len(virtual) < len(printers):
        warnings.append(f"{', '.join(virtual)}: a virtual printer beside real ones; the orders it gets are never made")
    if settings.web.in_the_clear:
        warnings.append("the page goes over the network in the clear: whoever listens there can act as you; see docs/web.md for https")
    return warnings


def _in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "http" and host not in ("localhost", "::1") and not host.startswith("127.")
