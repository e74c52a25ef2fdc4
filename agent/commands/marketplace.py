"""`marketplaces`, `online`, `offline`, `supplies`, `earnings`: the operator's account with each marketplace."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import click

from agent.commands.options import ConfigSource, config_option, json_option, login_name, say_json, say_rows
from agent.config.mailbox import MailboxSettings
from agent.config.model import Settings
from agent.domain.account import EarningSum, Presence, Status, SupplyRequest, sums
from agent.domain.booking import Month, months
from agent.domain.errors import AgentError, Refused
from agent.domain.stock import configured, written_of
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.shelf import Shelf, Stocked, shelf
from agent.operator.supplies import Wish, ask_for
from agent.ports.marketplace import Paying, Supplying, Switchable
from agent.wiring import build_marketplace, ledger_url
from agent.workflow.online import mark, set_by_agent

_Able = TypeVar("_Able")
_Answer = TypeVar("_Answer")
_Rows = list[dict[str, Any]]
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


# --- asking several at once --------------------------------------------------------------------------------------
class _Markets:
    """Those of the configuration, or the one of that name. Refused where there is none. They are opened only to be asked."""

    def __init__(self, settings: Settings, name: str | None = None) -> None:
        known = [market.name for market in settings.marketplaces]
        if name is not None and name not in known:
            raise Refused(f"There is no marketplace {name}.", hint=f"There is: {', '.join(known) or 'none'}.", code="no_such_marketplace")
        self._name = name
        asked = [market for market in settings.marketplaces if name in (None, market.name)]
        self.built = {market.name: build_marketplace(market) for market in asked if not isinstance(market, MailboxSettings)}

    def able(self, able: Mapping[str, _Able], without: str) -> Mapping[str, _Able]:
        """These, where there are any."""
        if not able:
            who = self._name or "Every marketplace here"
            raise Refused(f"{who} {without}.", hint="docs/marketplaces.md says what each kind can.", code="unable")
        return able

    def ask(self, able: Mapping[str, _Able], ask: Callable[[_Able], Awaitable[_Answer]]) -> dict[str, _Answer | AgentError]:
        """All at once. What goes wrong with one is its answer: the others are told all the same."""

        async def one(name: str, market: _Able) -> _Answer | AgentError:
            try:
                async with self.built[name]:
                    return await ask(market)
            except AgentError as error:
                return error

        async def together() -> list[_Answer | AgentError]:
            return await asyncio.gather(*(one(name, market) for name, market in able.items()))

        return dict(zip(able, asyncio.run(together()), strict=True))

    def switchable(self) -> dict[str, Switchable]:
        return {name: market for name, market in self.built.items() if isinstance(market, Switchable)}

    def can_supply(self) -> Mapping[str, Supplying]:
        return {name: market for name, market in self.built.items() if isinstance(market, Supplying)}

    def supplying(self) -> Mapping[str, Supplying]:
        return self.able(self.can_supply(), "sends no supplies")

    def paying(self) -> Mapping[str, Paying]:
        return {name: market for name, market in self.built.items() if isinstance(market, Paying)}


def _say_errors(answers: Mapping[str, object]) -> int:
    """To stderr, one line each. Returns the exit status."""
    errors = {name: answer for name, answer in answers.items() if isinstance(answer, AgentError)}
    for name, error in errors.items():
        click.echo(f"{name}: {error.told()}", err=True)
    return 1 if errors else 0


# --- online, offline ---------------------------------------------------------------------------------------------
@click.command()
@config_option
@json_option
def marketplaces(config: ConfigSource, as_json: bool) -> None:
    """Each marketplace: can it be reached, do offers come, and if not, why."""
    settings = config.settings()
    markets = _Markets(settings)
    answers = markets.ask(markets.switchable(), lambda market: market.status())
    rows = [_standing(market.name, market.kind, answers.get(market.name), settings.agent.name) for market in settings.marketplaces]
    if as_json:
        say_json({"marketplaces": rows})
    else:
        shown = [{**row, "reachable": {True: "yes", False: "no", None: "not asked"}[row["reachable"]]} for row in rows]
        say_rows(shown, ("name", "kind", "reachable", "state", "set_by", "until", "reason"), "No marketplace is configured.")


def _standing(name: str, kind: str, answer: Status | AgentError | None, agent_name: str) -> dict[str, Any]:
    """`reachable` None: one without a switch is not asked."""
    row: dict[str, Any] = {"name": name, "kind": kind, "reachable": None, "state": "", "set_by": "", "until": "", "reason": ""}
    if isinstance(answer, AgentError):
        return row | {"reachable": False, "reason": answer.told()}
    if answer is None:
        return row
    offline = answer.state is Presence.OFFLINE
    set_by = ("agent" if set_by_agent(answer, agent_name) else "person") if offline else ""
    until = answer.until.astimezone().isoformat(timespec="minutes") if answer.until else ""
    return row | {"reachable": True, "state": answer.state, "set_by": set_by, "until": until, "reason": answer.reason}


@click.command()
@click.argument("name", required=False)
@config_option
@json_option
def online(name: str | None, config: ConfigSource, as_json: bool) -> None:
    """Let offers come: from marketplace NAME, or from all that have a switch. Your own switch wins over the agent's."""
    _set(config.settings(), name, Status(state=Presence.ONLINE), as_json)


@click.command()
@click.argument("name", required=False)
@click.option("--reason", default="", help="Told to the marketplace.")
@config_option
@json_option
def offline(name: str | None, reason: str, config: ConfigSource, as_json: bool) -> None:
    """Let no more offers come, until you say `online`. Orders that were accepted go on."""
    settings = config.settings()
    if reason.startswith(mark(settings.agent.name).strip()):
        raise click.UsageError("This reason is how the agent marks an offline of its own, which it takes back by itself: give another.")
    _set(settings, name, Status(state=Presence.OFFLINE, reason=reason), as_json)


def _set(settings: Settings, name: str | None, status: Status, as_json: bool) -> None:
    markets = _Markets(settings, name)
    able = markets.able(markets.switchable(), "has no switch")
    answers = markets.ask(able, lambda market: market.set_status(status, secrets.token_hex(16)))
    kinds = {market.name: market.kind for market in settings.marketplaces}
    rows = [_standing(each, kinds[each], answer, settings.agent.name) for each, answer in answers.items()]
    if as_json:
        say_json({"marketplaces": rows})
    else:
        for row in rows:
            if row["reachable"]:
                click.echo(f"{row['name']} is {row['state']}.")
    raise click.exceptions.Exit(_say_errors(answers))


# --- supplies ----------------------------------------------------------------------------------------------------
@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def supplies(ctx: click.Context, config: ConfigSource, as_json: bool) -> None:
    """What is left and how long it lasts, what can be asked for, and what is on its way. `supplies request KIND N` asks."""
    ctx.obj = config
    if ctx.invoked_subcommand is not None:
        return
    settings = config.settings()
    markets = _Markets(settings)
    answers = markets.ask(markets.can_supply(), lambda market: market.supplies())
    stocked = stocked_in(settings)
    with SqlLedger(ledger_url(settings)) as ledger:
        left = shelf(ledger, stocked, answers, datetime.now(UTC))
    if as_json:
        told = [
            _told(name, answer if isinstance(answer, AgentError) else answer.model_dump(mode="json")) for name, answer in answers.items()
        ]
        things = {"packagings": left.packagings, "spools": left.spools}
        say_json({**{kind: [thing.model_dump(mode="json") for thing in its] for kind, its in things.items()}, "marketplaces": told})
    else:
        _say_left(left)
        rows = [
            {
                "marketplace": name,
                "kind": kind.kind,
                "title": kind.title,
                "inner_mm": "×".join(f"{side:g}" for side in kind.inner_mm or ()),
                "days": answer.lead_time_days,
                "on_the_way": ", ".join(f"{request.quantity} ({request.state})" for request in answer.on_the_way(kind.kind)),
            }
            for name, answer in answers.items()
            if not isinstance(answer, AgentError)
            for kind in answer.kinds
        ]
        say_rows(rows, ("marketplace", "kind", "title", "inner_mm", "days", "on_the_way"), "Nothing can be asked for.")
        _say_left_out(answers)
    raise click.exceptions.Exit(_say_errors(answers))


def _say_left(left: Shelf) -> None:
    """Packagings by the piece, spools in grams."""
    rows = [
        {
            "name": thing.name,
            "left": "not counted" if thing.left is None else f"{thing.left:.0f}{unit}",
            "a_week": f"{thing.per_week:.1f}{unit}" if thing.per_week else "",
            "lasts": "" if thing.days_left is None else f"{thing.days_left:.0f} days",
            "": "ask for more now" if thing.ask_now else "used up" if thing.used_up else "",
        }
        for things, unit in ((left.packagings, ""), (left.spools, " g"))
        for thing in things
    ]
    say_rows(rows, ("name", "left", "a_week", "lasts", ""), "No packaging and no spool is named in the configuration.")


def stocked_in(settings: Settings) -> Stocked:
    """What the files name, as it is written there."""
    reels = written_of((printer.name, printer.loaded()) for printer in settings.printers)
    packagings = [option.value(name) for name, option in settings.acceptance.packagings.items()]
    return Stocked(reels, packagings, settings.supplies.lead_time_days)


@supplies.command(name="counted")
@click.argument("name")
@click.argument("number", type=click.IntRange(0, 1_000_000), metavar="N")
@config_option
@click.pass_context
def counted(ctx: click.Context, name: str, number: int, config: ConfigSource) -> None:
    """You have counted: N pieces of a packaging, or grams on a spool, are there. NAME as `supplies` tells it."""
    source: ConfigSource = config if config.path else ctx.obj
    settings = source.settings(needs_secrets=False)
    stocked = stocked_in(settings)
    written = configured(stocked.reels, stocked.packagings)
    thing = next((thing for thing in written if thing.name == name), None)
    if thing is None:
        hint = f"Counted are: {', '.join(known.name for known in written) or 'none'}. Others need a stock, or remaining_g, in their file."
        raise Refused(f"{name} is not counted here.", hint=hint, code="not_counted")
    with SqlLedger(ledger_url(settings)) as ledger:
        ledger.counted(thing, number, written[thing])
    click.echo(f"{name}: counted from {number} on.", err=True)


@supplies.command()
@click.argument("kind")
@click.argument("quantity", type=click.IntRange(1, 1_000_000), metavar="N")
@click.option("--marketplace", "name", help="Which, where several send supplies.")
@click.option("--again", is_flag=True, help="Although some is on its way.")
@config_option
@json_option
@click.pass_context
def request(ctx: click.Context, kind: str, quantity: int, name: str | None, again: bool, config: ConfigSource, as_json: bool) -> None:
    """Ask for N of KIND, once: what is on its way already is not asked for again."""
    source: ConfigSource = config if config.path else ctx.obj
    settings = source.settings()
    markets = _Markets(settings, name)
    able = markets.supplying()
    if len(able) > 1:
        raise click.UsageError(f"Several marketplaces send supplies: say --marketplace {' or '.join(able)}.")
    (which,) = able

    with SqlLedger(ledger_url(settings)) as ledger:

        async def ask(market: Supplying) -> SupplyRequest:
            return await ask_for(market, ledger, Wish(which, kind, quantity, login_name()), datetime.now(UTC), again=again)

        answer = markets.ask(able, ask)[which]
    if isinstance(answer, AgentError):
        raise answer
    if as_json:
        say_json({"marketplace": which, "request": answer.model_dump(mode="json")})
    else:
        click.echo(f"{which}: {answer.quantity} of {answer.kind} asked for (request {answer.request_id}, {answer.state}).")


# --- earnings ----------------------------------------------------------------------------------------------------
@click.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="Of orders delivered on this day or later.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="… on this day or before.")
@click.option("--marketplace", "name", help="Only this one's.")
@config_option
@json_option
def earnings(first: datetime | None, last: datetime | None, name: str | None, config: ConfigSource, as_json: bool) -> None:
    """What delivered orders brought, by month, and what the marketplaces say of it, by state and currency. --json has every order."""
    days = _day(first), _day(last)
    if days[0] and days[1] and days[0] > days[1]:
        raise click.UsageError("--from is after --to.")
    settings = config.settings()
    markets = _Markets(settings, name)
    answers = markets.ask(markets.paying(), lambda market: market.earnings(*days))
    with SqlLedger(ledger_url(settings)) as ledger:
        own = months([order for order in ledger.bookings(_LONG_AGO) if name in (None, order.marketplace) and _within(order.at, days)])
    read = {each: answer for each, answer in answers.items() if not isinstance(answer, AgentError)}
    if as_json:
        told = [
            _told(each, answer if isinstance(answer, AgentError) else answer.model_dump(mode="json") | {"sums": _sums(sums(answer.lines))})
            for each, answer in answers.items()
        ]
        whole = _sums(sums([line for answer in read.values() for line in answer.lines]))
        say_json({"marketplaces": told, "sums": whole, "months": [month.model_dump(mode="json") for month in own]})
    else:
        _say_months(own)
        rows = [{"marketplace": each, **row} for each, answer in read.items() for row in _sums(sums(answer.lines))]
        say_rows(rows, ("marketplace", "state", "amount", "currency", "orders"), "The marketplaces tell of nothing in that time.")
        _say_left_out(answers)
    raise click.exceptions.Exit(_say_errors(answers))


def _within(at: datetime, days: tuple[date | None, date | None]) -> bool:
    """By this machine's calendar."""
    day, (first, last) = at.astimezone().date(), days
    return (first is None or day >= first) and (last is None or day <= last)


def _say_months(own: Sequence[Month]) -> None:
    rows = [
        {
            "month": month.month,
            "orders": len(month.orders) - month.given_up,
            "given up": month.given_up,
            "gross": f"{each.gross:.2f}",
            "filament": _cost(each.filament, "filament" in month.unpriced),
            "power": _cost(each.power, "power" in month.unpriced),
            "net": f"{'at most ' if month.unpriced else ''}{each.net:.2f}",
            "currency": each.currency,
        }
        for month in own
        for each in month.sums
    ]
    say_rows(rows, ("month", "orders", "given up", "gross", "filament", "power", "net", "currency"), "Nothing was delivered in that time.")


def _cost(amount: Decimal, unknown: bool) -> str:
    """What has no price is no zero."""
    if not unknown:
        return f"{amount:.2f}"
    return f"{amount:.2f} and more" if amount else "not known"


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


def _sums(found: Sequence[EarningSum]) -> _Rows:
    return [{"state": each.state, "amount": f"{each.amount:.2f}", "currency": each.currency, "orders": each.orders} for each in found]


def _told(name: str, answer: dict[str, Any] | AgentError) -> dict[str, Any]:
    return {"name": name, "error": answer.told()} if isinstance(answer, AgentError) else {"name": name, **answer}


def _say_left_out(answers: Mapping[str, object]) -> None:
    for name, answer in answers.items():
        if count := getattr(answer, "left_out", 0):
            click.echo(f"{name}: {count} lines could not be read and are not counted.", err=True)
