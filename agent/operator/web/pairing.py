"""Codes that let a device in."""

from datetime import datetime, timedelta

from agent.domain.errors import Refused
from agent.domain.person import Role, hashed, new_code
from agent.operator.answers import LONGEST_NAME, is_person
from agent.ports.people import People

MINUTES = 15
FIRST_MINUTES = 24 * 60
"""Of the code a daemon tells while nobody may sign in yet: its operator may come to it hours after it was started."""


def new_pairing(people: People, now: datetime, role: Role = Role.OPERATOR, name: str = "", minutes: float = MINUTES) -> str:
    """A code for one device. `name`: whose; empty: somebody new, who says it. Refused for a name that is no person's."""
    code = new_code()
    people.add_pairing(hashed(code), role, checked_name(name) if name else "", now + timedelta(minutes=minutes))
    return code


def checked_name(name: str) -> str:
    """On one line. Refused where it is no name of a person: what they agree to is kept under it."""
    told = " ".join(name.split())
    if not told.isprintable() or len(told) > LONGEST_NAME or not is_person(told):
        hint = "It will stand beside everything you confirm and agree to."
        raise Refused("Say your own name, as other people know it.", hint=hint, code="name_needed")
    return told
