"""Who may sign in, kept durably. Of every secret only its hash is known here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from agent.domain.person import ApiToken, Person, Role, Scope, Session


class People(Protocol):
    """Every method is one transaction, and raises as those of the ledger do."""

    def people(self) -> Sequence[Person]:
        """Those who may sign in, by name."""
        ...

    def add_pairing(self, code_sha256: str, role: Role, name: str, until: datetime) -> None:
        """A code that lets one device in, once. `name`: whose it is; empty: who uses it says so, and must be new here."""
        ...

    def pair(self, code_sha256: str, name: str, session_sha256: str, device: str) -> Person:
        """Spend the code and sign that device in.

        Refused: bad_code (none, spent, too old), name_taken (the code is not for that person), name_needed.
        A code that was refused for the name is not spent.
        """
        ...

    def session(self, session_sha256: str) -> Session | None:
        """The session, where it is neither ended nor idle for too long and its person may still sign in. Notes that it was used."""
        ...

    def sessions(self) -> Sequence[Session]: ...

    def end_session(self, session_sha256: str) -> None: ...

    def sign_out(self, name: str) -> int:
        """End all sessions of that person; how many there were. KeyError where there is no such person."""
        ...

    def set_role(self, name: str, role: Role) -> None:
        """KeyError where there is no such person."""
        ...

    def remove_person(self, name: str) -> None:
        """They cannot sign in any more, on any device. What they said stays said. KeyError where there is no such person."""
        ...

    def add_token(self, name: str, token_sha256: str, scopes: Sequence[Scope], made_by: str) -> None:
        """Refused (name_taken) where a token has that name."""
        ...

    def token(self, token_sha256: str) -> ApiToken | None: ...

    def tokens(self) -> Sequence[ApiToken]: ...

    def revoke_token(self, name: str) -> None:
        """KeyError where there is no such token."""
        ...
