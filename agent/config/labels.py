"""[labels]: where carriers' labels are printed."""

from typing import Literal

from pydantic import Field, field_validator

from agent.config.values import Section
from agent.domain.errors import Refused
from agent.labels.address import address_of


class LabelSettings(Section):
    """Carriers' labels. Without a printer a person opens the file and prints it."""

    printer: str | None = Field(
        None,
        min_length=1,
        max_length=300,
        description="A queue of CUPS on this machine by its name, or any other as ipp://HOST/printers/NAME (ipps:// with TLS); a network "
        "printer that takes PDF as ipp://HOST/ipp/print. Not set: nothing is printed.",
        examples=["Zebra"],
    )
    media: Literal["label", "4x6in", "100x150mm", "a6", "a5", "a4", "letter"] = Field(
        "label", description="The paper in it: label (whatever size the label has) | 4x6in | 100x150mm | a6 | a5 | a4 | letter."
    )
    scaling: Literal["none", "fit"] = Field(
        "none", description="none: in its own size, and not at all where it would be cut off | fit: made to fit the paper."
    )
    print_when_fetched: bool = Field(
        False, description="true: a label that is certain to be this parcel's is printed when it comes. false: when you say so."
    )

    @field_validator("printer")
    @classmethod
    def _a_queue(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                address_of(value)
            except Refused:
                raise ValueError("the name of a queue, or ipp://HOST/printers/NAME") from None
        return value
