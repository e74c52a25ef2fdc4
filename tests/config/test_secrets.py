"""Secrets come from files, variables and systemd, and no message, text or warning ever holds one."""

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config.mistakes import BadConfiguration
from agent.config.model import OperatorApiSettings, Settings
from tests.config.folder import MARKETPLACE, OCTOPRINT, Folder

BY_VARIABLE = MARKETPLACE.replace('token_file = "secrets/token"', 'token_env = "TOKEN"')
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MARK = "q7Zx"
"""What every secret made up here begins with, and no message: also a part of one is found by it."""
ORDINARY = st.text(string.ascii_letters + string.digits, max_size=60).map(lambda text: MARK + text)
STRANGE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=80).map(lambda text: MARK + text)


def token(loaded: Settings) -> str:
    (market,) = loaded.marketplaces
    assert isinstance(market, OperatorApiSettings)
    return market.token.reveal()


# --- where they come from ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("content", ["t0ken", "t0ken\n", "  t0ken\r\n", "\ufefft0ken\n"])
def test_a_secret_is_the_text_of_its_file(folder: Folder, content: str) -> None:
    assert token(folder.config(MARKETPLACE).secret("token", content).load()) == "t0ken"


def test_a_secret_is_the_value_of_its_variable(folder: Folder) -> None:
    assert token(folder.config(BY_VARIABLE).env({"TOKEN": "t0ken"}).load()) == "t0ken"


def test_a_secret_is_a_credential_of_systemd(folder: Folder, tmp_path: Path) -> None:
    folder.config(MARKETPLACE.replace("secrets/token", "$CREDENTIALS_DIRECTORY/secret_token"))
    assert folder.told() == [
        "config.toml, line 5: [[marketplaces]] no. 1, token_file: expected $CREDENTIALS_DIRECTORY to be set, which systemd does for "
        'LoadCredential= in the unit; found "$CREDENTIALS_DIRECTORY/secret_token"'
    ]
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "secret_token").write_text("t0ken")
    assert token(folder.env({"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}).load()) == "t0ken"


def test_which_file_or_variable_may_be_said_in_the_environment_too(folder: Folder) -> None:
    folder.config("[mqtt]\nhost = 'broker'\n").secret("mqtt", "pa55")
    mqtt = folder.env({"INTAGLY_AGENT__MQTT__PASSWORD_FILE": "secrets/mqtt"}).load().mqtt
    assert mqtt is not None
    assert mqtt.password is not None
    assert mqtt.password.reveal() == "pa55"


def test_addresses_with_tokens_come_from_a_file(folder: Folder) -> None:
    folder.secret("urls", "# where I am called\nntfys://t0ken@ntfy.example/a\n\n  # not now\n ntfy://ntfy.example/b\n")
    folder.config('[notifications]\nurls = ["ntfy://first.example/c"]\nurls_file = "secrets/urls"\n')
    assert folder.load().notifications.addresses == [
        "ntfy://first.example/c",
        "ntfys://t0ken@ntfy.example/a",
        "ntfy://ntfy.example/b",
    ]


def test_the_ledgers_address_comes_from_a_file(folder: Folder) -> None:
    folder.config('[ledger]\nurl_file = "secrets/ledger"\n').secret("ledger", "postgresql+psycopg://agent:pa55@db/ledger\n")
    assert folder.load().ledger.address.get_secret_value() == "postgresql+psycopg://agent:pa55@db/ledger"


# --- what is wrong with them ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a secret in secrets/token, which is empty"),
        (b" \n\t\n", "a secret in secrets/token, which is empty"),
        (b"a\nb", "one line of plain ASCII in secrets/token"),
        ("schlüssel".encode(), "one line of plain ASCII in secrets/token"),
        (b"\xff\xfe", "a text file in UTF-8 (secrets/token)"),
        (b"x" * 65537, "a file of at most 64 kB (secrets/token)"),
    ],
)
def test_a_file_that_holds_no_token_is_a_mistake(folder: Folder, content: bytes, told: str) -> None:
    folder.config(MARKETPLACE).secret("token", content)
    assert folder.told() == [f'config.toml, line 5: [[marketplaces]] no. 1, token_file: expected {told}; found "secrets/token"']


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("secrets/none", "a file that can be read (No such file or directory: secrets/none)"),
        ("secrets", "a plain file (secrets)"),
        ("/dev/zero", "a plain file (/dev/zero)"),
        ("", "the path of a file with the secret"),
    ],
)
def test_a_file_that_is_none_is_a_mistake(folder: Folder, path: str, told: str) -> None:
    folder.config(MARKETPLACE.replace("secrets/token", path))
    assert folder.told() == [f'config.toml, line 5: [[marketplaces]] no. 1, token_file: expected {told}; found "{path}"']


@pytest.mark.parametrize(
    ("environ", "variable", "told"),
    [
        ({}, "TOKEN", 'an environment variable that is set; found "TOKEN"'),
        ({"TOKEN": " "}, "TOKEN", 'a secret in $TOKEN, which is empty; found "TOKEN"'),
        ({"token": "x"}, "token", 'the name of an environment variable, in capitals; found "token"'),
        ({"TOKEN": "a\nb"}, "TOKEN", 'one line of plain ASCII in $TOKEN; found "TOKEN"'),
    ],
)
def test_a_variable_that_holds_none_is_a_mistake(folder: Folder, environ: dict[str, str], variable: str, told: str) -> None:
    folder.env(environ).config(BY_VARIABLE.replace("TOKEN", variable))
    assert folder.told() == [f"config.toml, line 5: [[marketplaces]] no. 1, token_env: expected {told}"]


def test_a_ledger_has_one_address(folder: Folder) -> None:
    folder.config('[ledger]\nurl = "postgresql+psycopg:///a"\nurl_file = "secrets/ledger"\n').secret("ledger", "postgresql+psycopg:///b")
    assert folder.told() == ['config.toml, line 3: [ledger] url_file: expected url or url_file, not both; found "secrets/ledger"']


def test_a_ledgers_address_in_a_file_is_checked_as_well(folder: Folder) -> None:
    folder.config('[ledger]\nurl_file = "secrets/ledger"\n').secret("ledger", "mysql://root:pa55@db/ledger")
    (told,) = folder.told()
    assert "[ledger] url_file: expected sqlite:////" in told
    assert "pa55" not in told


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_secret_that_everybody_can_read_is_worth_a_warning(folder: Folder, mode: int, warned: bool) -> None:
    folder.config(MARKETPLACE).secret("token", "t0ken", mode).printer("a", 'name = "a"\n' + OCTOPRINT).secret("key", "k3y", mode)
    warnings = folder.load().warnings
    assert [any(f"chmod 600 {folder.path}" in warning and name in warning for warning in warnings) for name in ("token", "key")] == [
        warned,
        warned,
    ]


# --- they are never told ----------------------------------------------------------------------------------------
def everything_said(folder: Folder) -> str:
    """All that loading says, and all that the settings look like."""
    try:
        loaded = folder.load()
    except BadConfiguration as bad:
        return f"{bad} {bad!r} {bad.told()} {bad.mistakes!r}"
    return f"{loaded} {loaded!r} {loaded.printers!r} {loaded.warnings!r} {loaded.model_dump()!r}"


@QUICK
@given(secret=ORDINARY)
def test_a_secret_in_its_place_is_in_no_text(folder: Folder, secret: str) -> None:
    address = f"postgresql+psycopg://agent:{secret}@db/ledger"
    folder.config(
        f'{MARKETPLACE}[mqtt]\nhost = "h"\npassword_env = "PASSWORD"\n[ledger]\nurl = "{address}"\n'
        f'[notifications]\nurls = ["ntfys://{secret}@h/t"]\nurls_file = "secrets/urls"\n'
    )
    folder.printer("a", 'name = "a"\n' + OCTOPRINT).secret("token", secret, 0o644).secret("key", secret, 0o644)
    folder.secret("urls", f"ntfys://me:{secret}@h/t", 0o644).env({"PASSWORD": secret})
    assert folder.mistakes() == []
    assert MARK not in everything_said(folder)


@QUICK
@given(secret=STRANGE)
def test_a_secret_that_cannot_be_used_is_in_no_text(folder: Folder, secret: str) -> None:
    quoted = "".join(f"\\U{ord(c):08x}" for c in secret)
    folder.config(
        f'[ledger]\nurl = "postgresql+psycopg://agent:{quoted}@db:port/ledger"\n'
        f'[[marketplaces]]\nkind = "operator_api"\nname = "m"\nurl = "https://me:{quoted}@h/?{quoted}"\ntoken_file = "secrets/token"\n'
        f'[notifications]\nurls = ["ntfys://{quoted}@h/a/b", "{quoted}"]\nurls_file = "secrets/urls"\n'
    )
    folder.printer("a", 'name = "a"\n' + OCTOPRINT).secret("token", f"{secret}\n{secret}").secret("key", f"{secret}\n{secret}")
    folder.secret("urls", f"ntfys://me:{secret}@h/a/b")
    assert len(folder.mistakes()) == 7
    assert MARK not in everything_said(folder)


@QUICK
@given(secret=ORDINARY | STRANGE, option=st.sampled_from(["token", "api_key", "password", "tokenfile", "secret"]))
def test_a_secret_written_beside_its_place_is_in_no_text(folder: Folder, secret: str, option: str) -> None:
    quoted = "".join(f"\\U{ord(c):08x}" for c in secret)
    folder.config(f'{MARKETPLACE}{option} = "{quoted}"\n[mqtt]\n{option} = "{quoted}"\n').printer(
        "a", f'{OCTOPRINT}{option} = "{quoted}"\n'
    )
    folder.env({"INTAGLY_AGENT__MQTT": secret, "INTAGLY_AGENT__NOTIFICATIONS__URLS": f"[{secret}"})
    assert MARK not in everything_said(folder)


@pytest.mark.parametrize("address", [f"https://me:{MARK}@h", f"https://h/?{MARK}", f"https://h/#{MARK}", f"me:{MARK}@h"])
def test_an_address_that_may_hold_a_password_is_not_told(folder: Folder, address: str) -> None:
    folder.config(MARKETPLACE.replace("https://market.example/v1", address))
    (told,) = folder.told()
    assert told.endswith("found (not shown)")


@pytest.mark.parametrize("option", ["token_file", "token_env"])
@pytest.mark.parametrize(
    "secret",
    [
        "B508534ED20348F090B4D0AD637D3660",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "550e8400-e29b-41d4-a716-446655440000",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzaG9wIn0.c2lnbmF0dXJl",
        "c2VjcmV0L3NlY3JldCtzZWNyZXQx==",
    ],
)
def test_a_secret_in_place_of_its_files_name_is_in_no_text(folder: Folder, option: str, secret: str) -> None:
    folder.config(MARKETPLACE.replace('token_file = "secrets/token"', f'{option} = "{secret}"'))
    said = everything_said(folder)
    assert secret not in said
    assert "it looks like the secret itself" in said


@pytest.mark.parametrize(
    "name", ["secrets/printer-2.key", "../secrets/mk3s.key", "/etc/intagly-agent/secrets/token-of-shop-12345", "KEY_2"]
)
def test_an_ordinary_name_is_told(folder: Folder, name: str) -> None:
    folder.config(MARKETPLACE.replace("secrets/token", name))
    (told,) = folder.told()
    assert told.endswith(f'found "{name}"')
