"""What may stand in a section for a mailbox."""

from pathlib import Path

import pytest

from agent.config.mailbox import MailboxSettings
from tests.config.folder import Folder

POST = (
    '[[marketplaces]]\nkind = "mailbox"\nname = "post"\nhost = "imap.example.org"\nusername = "shop"\npassword_file = "secrets/mail"\n'
    'senders = ["Orders@Shop.example", "@other.example"]\nauthserv_id = "MX.example.org"\n'
)
EXPECTED = "[[marketplaces]] no. 1, {}"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.secret("mail", "pass wörd")
    return folder


def test_a_mailbox(folder: Folder) -> None:
    (post,) = folder.config(POST).load().marketplaces
    assert isinstance(post, MailboxSettings)
    assert (post.port, post.security, post.folder, post.login) == (993, "tls", "INBOX", "password")
    assert post.password.reveal() == "pass wörd"
    assert "wörd" not in repr(post)
    assert post.senders == ["orders@shop.example", "@other.example"], "as they are compared"
    assert post.authserv_id == "mx.example.org"


def test_without_tls_only_this_machine_is_asked(folder: Folder) -> None:
    (mistake,) = folder.config(POST + 'security = "none"\n').told()
    assert "security" in mistake and "only a server on this machine" in mistake
    assert folder.config(POST.replace("imap.example.org", "127.0.0.1") + 'security = "none"\n').load().marketplaces


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('password_file = "secrets/mail"\n', "", "password_file or password_env"),
        ('"@other.example"', '"Marketplace <orders@shop.example>"', "an address such as"),
        ('"@other.example"', '"*"', "an address such as"),
        ('senders = ["Orders@Shop.example", "@other.example"]', "senders = []", "senders"),
        ('authserv_id = "MX.example.org"\n', "", "authserv_id"),
        ('host = "imap.example.org"', 'host = "imaps://imap.example.org"', "a name or address"),
    ],
)
def test_mistakes_are_told(folder: Folder, old: str, new: str, told: str) -> None:
    assert old in POST
    (mistake,) = folder.config(POST.replace(old, new)).told()
    assert told in mistake
