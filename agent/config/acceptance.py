"""[acceptance] of config.toml."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from agent.config.values import Hours, MoneyOption, NameOption, Number, Section, Whole
from agent.domain.fit import Packaging
from agent.domain.offer import Supports
from agent.workflow.acceptance import Mode, Policy

Side = Annotated[Number, Field(gt=0, le=10_000)]


class PackagingOption(Section):
    """A box or an envelope: what fits inside in mm, `[150, 100, 80]`, or a table that says more."""

    inner_mm: Annotated[list[Side], Field(min_length=3, max_length=3)]
    padding_mm: Number = Field(0.0, ge=0, le=1000)
    stock: Whole | None = Field(None, ge=0, le=1_000_000)
    supply: Annotated[str, Field(max_length=128)] = ""

    def value(self, name: str) -> Packaging:
        x, y, z = self.inner_mm
        return Packaging(name=name, inner_mm=(x, y, z), padding_mm=self.padding_mm, stock=self.stock, supply=self.supply)


def _packaging(value: Any) -> Any:
    if not isinstance(value, list | dict | PackagingOption):
        raise ValueError("what fits inside, such as [150, 100, 80], or a table with inner_mm, padding_mm, stock and supply")
    return {"inner_mm": value} if isinstance(value, list) else value


class AcceptanceSettings(Section):
    """What the agent says yes to."""

    mode: Mode = Field(
        Mode.AUTO,
        description="auto: the agent answers | ask: it advises and a person answers | off: offers are left alone.",
        json_schema_extra={"shown": True},
    )
    answer_margin_s: Number = Field(60.0, ge=0, le=600, description="An answer goes out at least this long before the offer ends.")
    quote_budget_s: Number = Field(
        300.0,
        ge=0,
        le=86_400,
        description="Fetching, checking and slicing for an answer take no longer than this from the offer's arrival. What is not sliced "
        "by then is estimated.",
    )
    min_payout: MoneyOption | None = Field(None, description="The least an order must pay. Not set: anything.", examples=["5.00 EUR"])
    longest_print_h: Number | None = Field(
        None, gt=0, le=10_000, description="The longest print time of an order. Not set: any.", examples=[24]
    )
    hours: list[Hours] = Field(
        [], description="When orders are accepted, in this machine's local time. Not set: always.", examples=[["08:00-22:00"]]
    )
    max_open_orders: Whole | None = Field(
        None, ge=1, description="No more open orders than this at once. Not set: any number.", examples=[10]
    )
    blocked_words: list[Annotated[str, Field(min_length=1)]] = Field(
        [], description="An order with one of these in its instructions or file names is declined. Not set: none is.", examples=[["weapon"]]
    )
    infill_min_percent: Whole = Field(0, ge=0, le=100, description="The least infill that is printed here.")
    infill_max_percent: Whole = Field(100, ge=0, le=100, description="The most infill that is printed here.")
    supports: list[Supports] = Field(list(Supports), min_length=1, description="Only orders whose answer about supports is one of these.")
    ask_about_instructions: bool = Field(True, description="A person is asked where the customer wrote special instructions.")

    packagings: dict[NameOption, Annotated[PackagingOption, BeforeValidator(_packaging)]] = Field(
        {},
        description="The boxes and envelopes you send parts in, and what fits inside each, in mm: with the padding taken off, or with "
        "padding_mm to be kept free on each side of each part. stock: how many you have when you write this; what is packed is counted "
        "down from it, and another number is counted from anew. supply: what a marketplace that sends them calls them, where that is "
        "another name. An order whose parts do not go into one of them together is declined. Not set: not looked at.",
        examples=[{"box-s": [150, 100, 80], "box-m": {"inner_mm": [250, 200, 150], "stock": 12}}],
    )

    @field_validator("infill_max_percent")
    @classmethod
    def _not_below_least(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("infill_min_percent", 0)
        if value < least:
            raise ValueError(f"at least infill_min_percent, which is {least}")
        return value

    def value(self) -> Policy:
        return Policy(
            mode=self.mode,
            answer_margin_s=self.answer_margin_s,
            min_payout=self.min_payout,
            longest_print_s=None if self.longest_print_h is None else int(self.longest_print_h * 3600),
            hours=self.hours,
            max_open_orders=self.max_open_orders,
            blocked_words=self.blocked_words,
            infill_percent=(self.infill_min_percent, self.infill_max_percent),
            supports=frozenset(self.supports),
            ask_about_instructions=self.ask_about_instructions,
            quote_budget_s=self.quote_budget_s,
            packagings=[packaging.value(name) for name, packaging in self.packagings.items()],
        )
