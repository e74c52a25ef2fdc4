"""[supplies]: when boxes and the like are to be asked for."""

from pydantic import Field

from agent.config.values import Number, Section


class SupplySettings(Section):
    """What is used up. You are told to ask for more where what is left is used up sooner than more comes."""

    lead_time_days: Number | None = Field(
        None,
        ge=0,
        le=365,
        description="Days until what you ask for is there. Not set: as the marketplace says that sends it; one that says nothing: 7.",
        examples=[10],
    )
