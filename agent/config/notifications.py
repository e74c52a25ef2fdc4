"""[notifications]: how people are called, and who is called when."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from agent.config.schedule import WEEK, Weekday
from agent.config.secrets import Secret, SecretFile
from agent.config.values import Hours, Number, Section
from agent.domain.attended import Attended
from agent.domain.errors import ConfigError
from agent.notifiers.address import check_address
from agent.notifiers.calling import Callee, Wants


def _address(value: SecretStr, which: str = "") -> SecretStr:
    try:
        check_address(value.get_secret_value())
    except ConfigError as error:
        raise ValueError(f"{which}an address that works ({error.told()})") from None
    return value


def _known_addresses(value: Secret | None) -> Secret | None:
    for n, line in enumerate(_lines(value), start=1):
        _address(SecretStr(line), f"as no. {n} of its addresses, ")
    return value


def _person(value: str) -> str:
    if not value.isprintable() or value != " ".join(value.split()):
        raise ValueError("a name as it is written, such as Ada Example")
    return value


Addresses = list[Annotated[SecretStr, AfterValidator(_address)]]
AddressFile = Annotated[SecretFile | None, AfterValidator(_known_addresses)]


class CalleeSettings(Section):
    """A person who is called. Their hours, and what they want to be told. See docs/notifications.md."""

    name: Annotated[str, AfterValidator(_person)] = Field(
        min_length=1,
        max_length=100,
        description='Their name, as it stands beside what they answer: "button in a notification for Ada Example".',
        examples=["Ada Example"],
    )
    urls: Addresses = Field(
        [],
        description="Their own addresses, as urls above. A message goes to all of them at once.",
        examples=[["ntfys://ntfy.example/ada"]],
        json_schema_extra={"shown": True},
    )
    urls_file: AddressFile = Field(
        None, description="A file with such addresses, one a line: for those that hold a token. Not set: none.", examples=["secrets/ada"]
    )
    wants: Wants = Field(
        Wants.ALL,
        description="all: everything at once, and what came outside the hours in one message when they begin | digest: what is urgent at "
        "once, everything else in one message when the hours begin | urgent: only what is urgent.",
    )
    hours: list[Hours] = Field(
        [], description="When they may be called, in this machine's local time. Not set: always.", examples=[["07:00-22:00"]]
    )
    days_off: list[Weekday] = Field(
        [], description="mon | tue | wed | thu | fri | sat | sun: days on which they are not called. Not set: none.", examples=[["sun"]]
    )
    urgent_at_any_hour: bool = Field(False, description="true: what is urgent rings outside the hours as well.")
    urgent_after_min: Number = Field(
        0.0,
        ge=0,
        le=1440,
        description="What is urgent reaches this person when nobody has answered for so long. Where nobody can be asked before, at once.",
    )
    buttons: bool = Field(
        True,
        description="Buttons that act (ntfy only, and only with [web] url set): whoever reads the topic can press them. false: only one "
        "that opens the page.",
    )

    @field_validator("urls_file")
    @classmethod
    def _some_address(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        if not _lines(value) and not info.data.get("urls", [None]):
            raise ValueError("an address for this person, in urls or urls_file")
        return value

    @field_validator("days_off")
    @classmethod
    def _not_all(cls, value: list[str]) -> list[str]:
        if len(set(value)) == len(WEEK):
            raise ValueError("at least one day on which they may be called")
        return value

    @field_validator("days_off")
    @classmethod
    def _digest_has_a_time(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if info.data.get("wants") is Wants.DIGEST and not info.data.get("hours", [None]):
            raise ValueError('hours beside wants = "digest": it comes when they begin')
        return value

    @property
    def addresses(self) -> list[str]:
        """They may hold credentials."""
        return [url.get_secret_value() for url in self.urls] + _lines(self.urls_file)

    def value(self) -> Callee:
        return Callee(
            name=self.name,
            wants=self.wants,
            hours=Attended(tuple(self.hours), frozenset(WEEK.index(day) for day in self.days_off)),
            urgent_at_any_hour=self.urgent_at_any_hour,
            urgent_after=timedelta(minutes=self.urgent_after_min),
        )


class NotificationSettings(Section):
    """How people are called. Every message goes into the log as well."""

    urls: Addresses = Field(
        [],
        description="Addresses that get everything, at any hour. ntfys://host/topic (ntfy://, where it has no https), or an address of any "
        'other service that apprise knows: pip install "intagly-agent[apprise]". Not set: none.',
        examples=[["ntfys://ntfy.example/my-printers"]],
    )
    urls_file: AddressFile = Field(
        None,
        description="A file with such addresses, one a line: for those that hold a token. Not set: none.",
        examples=["secrets/notifications"],
    )
    people: list[CalleeSettings] = Field([], description="Who is called. Not set: nobody but these addresses.")

    @field_validator("people")
    @classmethod
    def _names_of_their_own(cls, value: list[CalleeSettings]) -> list[CalleeSettings]:
        names = [person.name.casefold() for person in value]
        if len(set(names)) < len(names):
            raise ValueError("people with different names")
        return value

    @property
    def addresses(self) -> list[str]:
        """Those that belong to nobody, from the option and from the file. They may hold credentials."""
        return [url.get_secret_value() for url in self.urls] + _lines(self.urls_file)


def _lines(secret: Secret | None) -> list[str]:
    lines = secret.reveal().splitlines() if secret else []
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
