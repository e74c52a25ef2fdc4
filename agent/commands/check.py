"""`check`: is everything there that the daemon needs? One line each, with the way out."""

from dataclasses import asdict
from threading import Event

import click

from agent.commands.check_here import looks_here
from agent.commands.check_there import looks_there
from agent.commands.finding import Finding, look_at_all
from agent.commands.options import ConfigSource, config_option, json_option, say_json
from agent.config.mistakes import BadConfiguration
from agent.config.model import Settings

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@click.command()
@config_option
@json_option
def check(config: ConfigSource, as_json: bool) -> None:
    """Look at everything that is configured: ledger, disk, slicers, profiles, clock, page, printers and their cameras, marketplaces, label
    printer, dashboard, notifications. Prints nothing, accepts nothing. No longer than 15 seconds, whatever hangs."""
    exit_code, findings = checked(config)
    if as_json:
        say_json({"ok": exit_code == 0, "findings": [asdict(finding) for finding in findings]})
    else:
        tell(findings)
    raise click.exceptions.Exit(exit_code)


def checked(config: ConfigSource) -> tuple[int, list[Finding]]:
    """The exit code, and every line. Mistakes in the configuration are lines as well."""
    try:
        settings = config.settings()
    except BadConfiguration as bad:
        hint = bad.hint if len(bad.mistakes) == 1 else ""
        return 78, [Finding("configuration", "error", str(mistake), hint) for mistake in bad.mistakes]
    findings = look_at(settings)
    return (1 if any(finding.level == "error" for finding in findings) else 0), findings


def look_at(settings: Settings) -> list[Finding]:
    findings = [Finding("configuration", "ok", f"{len(settings.printers)} printers, {len(settings.marketplaces)} marketplaces")]
    findings += [Finding("configuration", "warning", warning) for warning in settings.warnings]
    ledger_is_there = Event()
    return findings + look_at_all([*looks_here(settings, ledger_is_there), *looks_there(settings, ledger_is_there)])


def tell(findings: list[Finding]) -> None:
    for finding in findings:
        mark, color = _MARKS[finding.level]
        click.echo(f"{click.style(mark, fg=color)} {finding.subject}: {finding.text}" + (f" — {finding.hint}" if finding.hint else ""))
