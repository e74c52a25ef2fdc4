"""[schedule]: the operator's day, by which printers are planned and offers are weighed."""

from typing import Literal

from pydantic import Field, field_validator

from agent.config.values import Hours, Number, Section
from agent.domain.attended import Attended
from agent.domain.color_difference import LIMIT
from agent.workflow.scheduling import Schedule

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class ScheduleSettings(Section):
    """Your day, by which the agent plans what is printed where and when, and what it can promise."""

    attended: list[Hours] = Field(
        [],
        description="When somebody is there to clear beds, in this machine's local time. Not set: always.",
        examples=[["07:30-12:00", "13:00-22:00"]],
    )
    days_off: list[Weekday] = Field(
        [], description="mon | tue | wed | thu | fri | sat | sun: days on which nobody is there. Not set: none.", examples=[["sun"]]
    )
    finish_unattended: bool = Field(
        False,
        description="true: a print may end while nobody is there, and lie on its bed until somebody comes | false: its start is put off, "
        "so that it ends when somebody is there.",
    )
    handling_h: Number = Field(
        4.0,
        ge=0,
        le=240,
        description="Hours with somebody there between the last print of an order and its dispatch: post-processing, photos, packing.",
    )
    remind_h: Number = Field(
        12.0, ge=0, le=240, description="So many hours before a parcel has to be on its way you are reminded of what it waits for. 0: not."
    )
    clear_bed_min: Number = Field(5.0, ge=0, le=240, description="Minutes from the end of a print until its bed is clear.")
    change_material_min: Number = Field(
        5.0, ge=0, le=240, description="Minutes a printer with several spools takes to change from one to another."
    )
    color_limit: Number = Field(
        LIMIT,
        ge=0,
        le=100,
        description="How far a loaded colour may be from the ordered one, where the hex values of both are known (CIEDE2000). "
        "1: hardly to be seen | 5: another shade | 20: grey and silver.",
    )

    @field_validator("days_off")
    @classmethod
    def _not_all(cls, value: list[str]) -> list[str]:
        if len(set(value)) == len(WEEK):
            raise ValueError("at least one day on which somebody is there")
        return value

    def value(self) -> Schedule:
        """In the product's own words."""
        return Schedule(
            attended=Attended(self.attended, frozenset(WEEK.index(day) for day in self.days_off)),
            finish_unattended=self.finish_unattended,
            clear_bed_s=self.clear_bed_min * 60,
            change_material_s=self.change_material_min * 60,
            handling_s=self.handling_h * 3600,
        )
