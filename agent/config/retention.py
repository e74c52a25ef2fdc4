"""[retention]: how long the files of orders that ended are kept."""

from pydantic import Field

from agent.config.values import Number, Section, Whole
from agent.domain.retention import REMAKEABLE, Kind, Rule

_GB = 10**9


class RetentionSettings(Section):
    """How long files of orders that ended are kept. What happened to an order, and what people agreed to, is kept for ever; so is every
    file of an order that has not ended. 0: not for longer than a day."""

    gcode_days: Whole = Field(30, ge=0, le=36_500, description="Days that G-code, repaired models and their pictures are kept.")
    models_days: Whole = Field(180, ge=0, le=36_500, description="Days that the customers' models are kept, as they came.")
    photos_days: Whole = Field(730, ge=0, le=36_500, description="Days that photos are kept, of parts and of beds.")
    labels_days: Whole | None = Field(
        None, ge=0, le=36_500, description="Days that carriers' labels are kept. They hold addresses. Not set: for ever.", examples=[730]
    )
    declined_days: Whole = Field(
        7, ge=0, le=36_500, description="Days that any file is kept of an offer that was declined, lost or not answered."
    )
    max_gb: Number | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="So much disk for all files. Above, what can be made again goes, from the order that ended first on; nothing else goes "
        "before its days are over. Not set: no limit.",
        examples=[20],
    )

    def value(self) -> Rule:
        days: dict[Kind, int | None] = {**dict.fromkeys(REMAKEABLE, self.gcode_days), Kind.MODEL: self.models_days}
        days |= {Kind.PHOTO: self.photos_days, Kind.LABEL: self.labels_days}
        return Rule(days=days, declined_days=self.declined_days, most_bytes=None if self.max_gb is None else int(self.max_gb * _GB))
