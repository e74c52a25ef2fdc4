"""[costs]: what a print costs, for what is left of what an order brought."""

from collections.abc import Sequence

from pydantic import Field

from agent.config.printer import PrinterSettings
from agent.config.values import MoneyOption, Number, Section
from agent.domain.booking import Prices
from agent.domain.stock import spools_of


class CostSettings(Section):
    """What a print costs you, to be taken off what it brought. What has no price is told as not known, never as nothing."""

    filament_per_kg: MoneyOption | None = Field(
        None, description="Filament, where its spool has no price_per_kg of its own. Not set: not known.", examples=["22.00 EUR"]
    )
    power_w: Number | None = Field(
        None,
        ge=0,
        le=100_000,
        description="Watts a printer takes on average while it prints, where its file has no power_w. Not set: not known.",
        examples=[110],
    )
    per_kwh: MoneyOption | None = Field(None, description="A kilowatt-hour. Not set: not known.", examples=["0.32 EUR"])


def prices(costs: CostSettings, printers: Sequence[PrinterSettings]) -> Prices:
    """In the product's own words."""
    return Prices(
        filament_per_kg={
            thing.name: material.price_per_kg
            for printer in printers
            for thing, material in zip(spools_of(printer.name, printer.loaded()), printer.materials, strict=True)
            if material.price_per_kg is not None
        },
        of_filament=costs.filament_per_kg,
        power_w={printer.name: printer.power_w for printer in printers if printer.power_w is not None},
        of_printers=costs.power_w,
        per_kwh=costs.per_kwh,
    )
