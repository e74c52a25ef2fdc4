"""`pair` and `people`: who may sign in on the page, and tokens for scripts. Whoever may write the ledger may do this."""

import contextlib
import io
from collections.abc import Iterator

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json, say_rows
from agent.domain.errors import Refused
from agent.domain.person import Role, Scope, hashed, new_secret, shown_code
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.web.pairing import MINUTES, new_pairing
from agent.wiring import ledger_url, utc_now, web_access

_ROLE = click.Choice([role.value for role in Role])
_SCOPE = click.Choice([scope.value for scope in Scope])


@click.command()
@config_option
@json_option
@click.option("--name", default="", help="Whose device it is. Not given: somebody new, who says their name on the page.")
@click.option("--role", type=_ROLE, default=Role.OPERATOR.value, help="What somebody new may do. Default: operator.")
@click.option("--minutes", type=click.IntRange(1, 24 * 60), default=MINUTES, help=f"How long the code is good for. Default: {MINUTES}.")
def pair(config: ConfigSource, as_json: bool, name: str, role: str, minutes: int) -> None:
    """A code, also as a QR code, that lets one device sign in on the page, once."""
    settings = config.settings(needs_secrets=False)
    if not settings.web.listen:
        raise Refused("The page is switched off.", hint='Set [web] listen, such as "0.0.0.0:8410".', code="no_page")
    access = web_access(settings)
    with SqlLedger(ledger_url(settings)) as ledger:
        code = new_pairing(ledger, utc_now(), Role(role), name, minutes)
    url = access.opened_at()
    if as_json:
        say_json({"code": shown_code(code), "open": f"{url}/sign-in#{code}", "minutes": minutes, "only_this_machine": access.loopback})
        return
    click.echo(_picture(f"{url}/sign-in#{code}"))
    click.echo(f"Open {url}/sign-in and type {shown_code(code)}, or point a phone's camera at this. Once, for {minutes} minutes.")
    if access.loopback:
        told = 'Only this machine reaches it there. For a phone: [web] listen = "0.0.0.0:8410", best with https (docs/web.md).'
        click.secho(told, fg="yellow", err=True)


def _picture(text: str) -> str:
    # Late: the daemon's and every other command's start does not need it.
    import segno  # noqa: PLC0415

    out = io.StringIO()
    segno.make(text, error="l").terminal(out, compact=True)
    return out.getvalue()


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def people(ctx: click.Context, config: ConfigSource, as_json: bool) -> None:
    """Who may sign in, on which devices, and tokens for scripts."""
    ctx.obj = config
    if ctx.invoked_subcommand is not None:
        return
    with _ledger(config) as ledger:
        sessions, tokens = ledger.sessions(), ledger.tokens()
        rows = [
            {
                "name": person.name,
                "role": person.role,
                "since": f"{person.added_at:%Y-%m-%d}",
                "devices": sum(session.person.id == person.id for session in sessions),
            }
            for person in ledger.people()
        ]
    scripts = [{"name": token.name, "scopes": ", ".join(token.scopes), "since": f"{token.made_at:%Y-%m-%d}"} for token in tokens]
    if as_json:
        say_json({"people": rows, "tokens": scripts})
        return
    say_rows(rows, ("name", "role", "since", "devices"), "Nobody may sign in yet: `intagly-agent pair` lets somebody in.")
    if scripts:
        say_rows(scripts, ("name", "scopes", "since"), "")


@people.command("role")
@click.argument("name")
@click.argument("role", type=_ROLE)
@click.pass_obj
def set_role(config: ConfigSource, name: str, role: str) -> None:
    """Change what somebody may do: operator acts, viewer only looks. At once, also where they are signed in."""
    with _ledger(config) as ledger, _knowing(name, "people"):
        ledger.set_role(name, Role(role))
    click.echo(f"{name}: {role}", err=True)


@people.command("sign-out")
@click.argument("name")
@click.pass_obj
def sign_out(config: ConfigSource, name: str) -> None:
    """Sign somebody out on all devices: a phone was lost."""
    with _ledger(config) as ledger, _knowing(name, "people"):
        count = ledger.sign_out(name)
    click.echo(f"{name}: signed out on {count} devices", err=True)


@people.command("remove")
@click.argument("name")
@click.pass_obj
def remove(config: ConfigSource, name: str) -> None:
    """Let somebody in no more. What they confirmed and agreed to keeps their name."""
    with _ledger(config) as ledger, _knowing(name, "people"):
        ledger.remove_person(name)
    click.echo(f"{name}: removed", err=True)


@people.command("token")
@click.argument("name")
@click.option("--scope", "scopes", type=_SCOPE, multiple=True, help="What it may do; repeatable. Default: read.")
@click.option("--by", default="", help="Who makes it, for the list. Default: nobody's name.")
@click.pass_obj
def token(config: ConfigSource, name: str, scopes: tuple[str, ...], by: str) -> None:
    """Make a token for a script, shown this once. read: looks | answer: answers questions | control: pauses, resumes, cancels."""
    if not name.isprintable() or not 0 < len(name) <= 100:
        raise click.UsageError("A token's name is of 1 to 100 characters that can be printed.")
    secret = new_secret()
    with _ledger(config) as ledger:
        ledger.add_token(name, hashed(secret), [Scope(scope) for scope in dict.fromkeys(scopes or (Scope.READ.value,))], by)
    click.echo(secret)
    click.echo("Keep it: it is not shown again. Authorization: Bearer …", err=True)


@people.command("revoke")
@click.argument("name")
@click.pass_obj
def revoke(config: ConfigSource, name: str) -> None:
    """Take a token's rights away, at once."""
    with _ledger(config) as ledger, _knowing(name, "tokens"):
        ledger.revoke_token(name)
    click.echo(f"{name}: revoked", err=True)


def _ledger(config: ConfigSource) -> SqlLedger:
    return SqlLedger(ledger_url(config.settings(needs_secrets=False)))


@contextlib.contextmanager
def _knowing(name: str, kind: str) -> Iterator[None]:
    """Tells a name that is not there."""
    try:
        yield
    except KeyError as error:
        raise Refused(f"There is no {name} among the {kind}.", hint="`intagly-agent people` lists them.", code="not_known") from error
