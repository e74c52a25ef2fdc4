"""[online]: when the agent goes offline by itself."""

from pydantic import Field

from agent.config.values import Number, Section


class OnlineSettings(Section):
    """Going offline by itself, so that no offer comes that could not be kept: no printer, filament, disk, clock, ledger or slicer."""

    automatic: bool = Field(True, description="false: marketplaces are never set offline or online by the agent itself.")
    printers_away_s: Number = Field(
        300.0, ge=0, le=86_400, description="A printer that cannot be reached for this long is not counted on for new orders."
    )
    filament_g: Number = Field(
        20.0, ge=0, le=10_000, description="Nor is a printer whose every spool is tracked and has less left than this. 0: not looked at."
    )
    clock_off_s: Number = Field(
        120.0, ge=0, le=86_400, description="This machine's clock may differ from the marketplaces' by this much. 0: not looked at."
    )
    back_after_s: Number = Field(60.0, ge=0, le=86_400, description="Online again when all has been well for this long.")
