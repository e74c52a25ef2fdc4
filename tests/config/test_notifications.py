"""[[notifications.people]]: who is called, as it is written and as it is meant."""

from datetime import time, timedelta

import pytest

from agent.domain.attended import Attended
from agent.notifiers.calling import Callee, Wants
from tests.config.folder import MARKETPLACE, Folder

ADA = '[[notifications.people]]\nname = "Ada Example"\nurls = ["ntfys://ntfy.example/ada"]\n'


def test_a_person_as_short_as_it_can_be_written_is_called_of_everything_at_any_hour(folder: Folder) -> None:
    (ada,) = folder.config(MARKETPLACE + ADA).load().notifications.people
    assert ada.value() == Callee("Ada Example")
    assert (ada.addresses, ada.buttons) == (["ntfys://ntfy.example/ada"], True)


def test_everything_that_can_be_said_of_a_person(folder: Folder) -> None:
    folder.secret("bob", "# his phone\nntfys://tk_1@ntfy.example/bob\n")
    folder.config(
        MARKETPLACE
        + '[notifications]\nurls = ["ntfy://ntfy.example/shop"]\n'
        + ADA
        + '[[notifications.people]]\nname = "Bob Example"\nurls_file = "secrets/bob"\nwants = "digest"\n'
        'hours = ["07:30-12:00", "22:00-02:00"]\ndays_off = ["sun"]\nurgent_at_any_hour = true\nurgent_after_min = 10\nbuttons = false\n'
    )
    called = folder.load().notifications
    bob = called.people[1]
    hours = Attended(((time(7, 30), time(12)), (time(22), time(2))), frozenset({6}))
    assert bob.value() == Callee("Bob Example", Wants.DIGEST, hours, urgent_at_any_hour=True, urgent_after=timedelta(minutes=10))
    assert (bob.addresses, bob.buttons) == (["ntfys://tk_1@ntfy.example/bob"], False)
    assert called.addresses == ["ntfy://ntfy.example/shop"], "nobody's addresses stay what they were"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[notifications.people]]\nname = "Ada"\n', "an address for this person"),
        ('[[notifications.people]]\nname = "Ada"\nurls_file = "secrets/nobody"\n', "an address for this person"),
        (ADA + ADA.replace("Ada", "ADA"), "people with different names"),
        (ADA + 'wants = "digest"\n', "hours beside wants"),
        (ADA + 'wants = "everything"\n', '"all" or "digest" or "urgent"'),
        (ADA + 'days_off = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]\n', "at least one day"),
        (ADA + 'hours = ["7-22"]\n', "hours such as"),
        (ADA + "urgent_after_min = -1\n", "at least 0"),
        (ADA.replace("Ada Example", "Ada\\tExample"), "a name as it is written"),
        (ADA.replace("ntfys://ntfy.example/ada", "ntfys://s3cr3t@ntfy.example/a/b"), "an address that works"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_without_the_address(folder: Folder, text: str, told: str) -> None:
    folder.secret("nobody", "# she is on holiday\n")
    (mistake,) = folder.config(MARKETPLACE + text).told()
    assert mistake.startswith("config.toml")
    assert "[notifications] people" in mistake
    assert told in mistake
    assert "s3cr3t" not in mistake
