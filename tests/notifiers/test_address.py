"""Notification addresses: which are taken, and that none is ever repeated in an error."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import ConfigError
from agent.notifiers import address
from agent.notifiers.address import NtfyAddress, check_address, is_ntfy, parse_ntfy


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("ntfy://ntfy.sh/garage", NtfyAddress("http://ntfy.sh", "garage", "", "", "")),
        ("ntfys://ntfy.sh/garage/", NtfyAddress("https://ntfy.sh", "garage", "", "", "")),
        ("NTFYS://tk_1@ntfy.example:8443/a-b_C", NtfyAddress("https://ntfy.example:8443", "a-b_C", "tk_1", "", "")),
        ("ntfy://ada:p%40ss@[::1]:80/x", NtfyAddress("http://[::1]:80", "x", "", "ada", "p@ss")),
    ],
)
def test_what_an_address_says(url: str, read: NtfyAddress) -> None:
    assert is_ntfy(url)
    assert parse_ntfy(url) == read
    check_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "ntfy://ntfy.sh",
        "ntfy://ntfy.sh/",
        "ntfy://ntfy.sh/two/topics",
        "ntfy://ntfy.sh/a topic",
        "ntfy://ntfy.sh/tëpic",
        "ntfy://ntfy.sh/garage?priority=high",
        "ntfy://ntfy.sh/garage#x",
        "ntfy://ntfy.sh:port/garage",
        "ntfy://ntfy.sh:99999/garage",
        "ntfy:///garage",
        "ntfy://-bad-/garage",
        "ntfy://[::1/garage",
        "ntfy://two words@ntfy.sh/garage",
        "ntfy.sh/garage",
        "",
        "://x",
    ],
)
def test_what_is_none(url: str) -> None:
    with pytest.raises(ConfigError):
        check_address(url)


pieces = st.sampled_from(
    ["ntfy://", "ntfys://", "secret", "s3cr3t:pass", "@", ":", "/", "[", "]", "::1", "ntfy.sh", "garage", "?", "#", "%", "℀"]
)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=8).map("".join), st.text(max_size=40).map("ntfy://".__add__)))
def test_an_address_is_taken_or_refused_and_never_repeated(url: str) -> None:
    try:
        read = parse_ntfy(url) if is_ntfy(url) else None
        check_address(url)
    except ConfigError as error:
        assert "s3cr3t" not in error.told()
        assert "pass" not in error.told().replace("password", "")
    else:
        assert read is None or read.topic


def test_the_name_in_the_log_holds_no_credential() -> None:
    assert parse_ntfy("ntfys://ada:hunter22@ntfy.example/garage").shown == "ntfy ntfy.example"


def test_another_service_needs_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    check_address("json://localhost/x")  # it is installed here
    monkeypatch.setattr(address, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="need apprise") as missing:
        check_address("tgram://s3cr3t/x")
    assert "intagly-agent[apprise]" in missing.value.hint
    assert "s3cr3t" not in missing.value.told()
