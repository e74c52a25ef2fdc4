"""What a mail's lines mean by a template; and that nothing is made of what is not certain."""

import time
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import ConfigError
from agent.domain.offer import Supports
from agent.domain.values import Color
from agent.marketplaces.hot_folder.order_files import BadOrder, Defaults, read_order
from agent.marketplaces.mailbox.drafts import draft
from agent.marketplaces.mailbox.lines import pattern, tidy
from agent.marketplaces.mailbox.reading import Reading, read_by, read_mail
from agent.marketplaces.mailbox.templates import EXAMPLES, Template, for_mail, load_templates
from agent.marketplaces.mailbox.unpack import LONGEST_TEXT
from tests.marketplaces.mailbox.bench import ITEM, SENDER, SHIP_BY, TEXT, text

NOW = datetime.now(UTC)
SUBJECT = "New offer MX-4711"
LINES, TABLE = load_templates(None)
DEFAULTS = Defaults("PLA", Color(name="grey"), 15, Supports.OPERATOR)


def read(body: str, subject: str = SUBJECT) -> Reading:
    return read_mail(LINES, subject, body, NOW)


def test_each_field_carries_the_line_it_came_from() -> None:
    reading = read(TEXT + ITEM)
    assert reading.order is not None
    where = {(field.name, field.item): field.line for field in reading.fields}
    assert where["payout", 0] == "You earn: 12.50 EUR"
    assert where["number", 0] == f"Subject: {SUBJECT}"
    assert where["material", 2] == "Material: PET-G"


@pytest.mark.parametrize(
    ("changed", "question"),
    [
        ({"Infill": "150 %"}, "The infill in “Infill: 150 %” is not understood: expected a whole number from 0 to 100."),
        ({"Infill": "20 - 30 %"}, "The infill in"),
        ({"Infill": "٤٠"}, "The infill in"),
        ({"Infill": "solid"}, "The infill in"),
        ({"Material": "Wood"}, "The material in “Material: Wood” is not understood: expected a material that the template lists."),
        ({"Material": "PLA or PETG"}, "The material in"),
        ({"Supports": "maybe"}, "The supports in"),
        ({"Quantity": "0"}, "The quantity in"),
        ({"Quantity": "2-3"}, "The quantity in"),
        ({"Quantity": "1e3"}, "The quantity in"),
        ({"Quantity": ""}, "Item 1 does not say its quantity."),
        ({"Colour": ""}, "Item 1 does not say its color."),
        ({"File": "../hook.stl"}, "The file in"),
        ({"File": ""}, "Item 1 has no file."),
        ({"You_earn": "12,50 EUR"}, "The payout in"),
        ({"You_earn": "1.250.00 EUR"}, "The payout in"),
        ({"You_earn": "12.50"}, "The payout in"),
        ({"You_earn": "EUR 12.50 EUR"}, "The payout in"),
        ({"You_earn": "12.50 ¤"}, "The payout in"),
        ({"You_earn": ""}, "It does not say its payout."),
        ({"Ship_by": "soon"}, "The ship by in"),
        ({"Ship_by": "1999-01-01"}, "expected a moment within a year of the mail."),
        ({"Ship_by": ""}, "It does not say its ship by."),
        ({"Answer_within": "0 minutes"}, "The answer minutes in"),
        ({"Answer_within": "fifteen minutes"}, "The answer minutes in"),
    ],
)
def test_what_is_not_certain_is_a_question(changed: dict[str, str], question: str) -> None:
    reading = read(text(**changed))
    assert reading.order is None
    assert any(question in told for told in reading.questions), reading.questions


@pytest.mark.parametrize(
    ("more", "question"),
    [
        ("Infill: 20 %\n", "Item 1 says its infill in two ways: “Infill: 40 %” and “Infill: 20 %”."),
        ("You earn: 99.00 EUR\n", "It says its payout in two ways"),
        ("Offer: MX-9\n", "It says its number in two ways: “Subject: New offer MX-4711” and “Offer: MX-9”."),
        ("File: second.stl\n", "Item 2 does not say its quantity."),
    ],
)
def test_two_answers_are_a_question(more: str, question: str) -> None:
    reading = read(TEXT + more)
    assert reading.order is None
    assert any(question in told for told in reading.questions), reading.questions


def test_saying_the_same_again_is_no_question() -> None:
    reading = read(TEXT + "infill:   40%\nOffer: MX-4711\n")
    assert reading.questions == []


def test_options_before_the_first_file_are_a_question() -> None:
    assert read("Quantity: 3\n" + TEXT).questions[0] == "“Quantity: 3” stands before the first item."


def test_lines_that_are_not_known_go_to_a_person_and_those_behind_the_end_do_not() -> None:
    reading = read(TEXT + "Please make it strong.\nINFILL 100!\n--\nUnsubscribe here\n")
    assert reading.order is not None
    assert reading.unknown == ["Please make it strong.", "INFILL 100!"]
    assert "Please make it strong." in reading.order.instructions
    assert "Unsubscribe" not in reading.order.instructions


def test_money_and_times_as_the_template_has_them() -> None:
    lines = [f"Sie erhalten 12,50 €\nVersand bis {SHIP_BY:%d.%m.%Y}\nAntwort bis {SHIP_BY:%d.%m.%Y} 18:00"]
    lines += ["10 × a × b.stl in PLA / Weiß, Füllung 5"]
    reading = read_mail(TABLE, "Auftrag A-1 wartet", "\n".join(lines), NOW)
    assert reading.order is not None, reading.questions
    (item,) = reading.order.items
    assert (item.quantity, item.file, item.color.name, item.supports) == (10, "a × b.stl", "white", Supports.OPERATOR)
    assert reading.order.answer_by is not None
    assert reading.order.answer_by.astimezone(UTC).hour in (16, 17), "18:00 in Berlin"


# --- templates ------------------------------------------------------------------------------------------------------


def test_a_template_is_for_its_sender_and_subject_only() -> None:
    templates = [LINES, TABLE]
    assert for_mail(templates, SENDER, SUBJECT) == [LINES]
    assert for_mail(templates, SENDER, "Newsletter") == []
    assert for_mail(templates, "x@table.marketplace.example", "Auftrag 1 wartet") == [TABLE]
    assert for_mail(templates, "x@marketplace.example", SUBJECT) == []


def version(n: int, **changed: object) -> Template:
    values = {**LINES.model_dump(), **changed, "version": n}
    for name in ("lines", "item_lines", "ignore"):
        values[name] = changed.get(name, getattr(LINES, name))
    return Template.model_validate({**values, "subject": LINES.subject})


def test_the_newest_version_that_reads_it_whole_is_used() -> None:
    newer = version(2, lines=[pattern("Earnings: {payout}"), *LINES.lines[2:]])
    assert read_by(for_mail([LINES, newer], SENDER, SUBJECT), SUBJECT, TEXT, NOW).template == "example-lines 1"
    body = TEXT.replace("You earn", "Earnings")
    assert read_by(for_mail([LINES, newer], SENDER, SUBJECT), SUBJECT, body, NOW).template == "example-lines 2"


def test_two_kinds_of_template_that_read_the_same_mail_are_a_question() -> None:
    other = version(1, name="other")
    reading = read_by(for_mail([LINES, other], SENDER, SUBJECT), SUBJECT, TEXT, NOW)
    assert reading.order is None
    assert reading.questions == ["These templates all read it: example-lines, other."]


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ('"You earn: {payout}",', "", "a line with {payout}"),
        ('"Infill: {infill}",', "", "an item line with {infill}, or a default for it"),
        ("{quantity}", "{number}", "fields that are known; number is none here"),
        ("You earn: {payout}", "{payout}", "some text beside the field"),
        ("You earn: {payout}", "You earn: {payout}{ship_by}", "some text between two fields"),
        ("You earn: {payout}", "You earn: {Payout", "fields in braces"),
        ('zone = "UTC"', 'zone = "Middle/Earth"', "a time zone such as"),
        ("version = 1", "", "version: Field required"),
        ("version = 1", 'version = 1\nregex = ".*"', "regex: Extra inputs are not permitted"),
        ("senders", "senders =", "is no TOML"),
    ],
)
def test_a_template_with_a_mistake_is_told_with_its_file(tmp_path: Path, old: str, new: str, mistake: str) -> None:
    example = (EXAMPLES / "example-lines-1.toml").read_text().replace('name = "example-lines"', 'name = "mine"')
    assert old in example
    (tmp_path / "mine.toml").write_text(example.replace(old, new))
    with pytest.raises(ConfigError) as error:
        load_templates(tmp_path)
    assert "mine.toml" in str(error.value)
    assert mistake in str(error.value)


def test_a_template_of_the_same_name_and_version_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text((EXAMPLES / "example-lines-1.toml").read_text())
    with pytest.raises(ConfigError, match="there is another template example-lines 1"):
        load_templates(tmp_path)


# --- the draft for a person -----------------------------------------------------------------------------------------


def test_the_draft_is_no_order_until_every_question_is_answered() -> None:
    reading = read(text(Infill="150 %", Material="Wood") + "Add-on: sanding\n")
    drafted = draft(SENDER, 'tricky "subject"\n[[items]]', reading)
    assert drafted.count("= ?") == 2
    with pytest.raises(BadOrder):
        read_order(drafted.encode(), DEFAULTS)
    wanted = read_order(drafted.replace("infill_percent = ?", "infill_percent = 50").replace("= ?", '= "PLA"').encode(), DEFAULTS)
    (item,) = wanted.items
    assert (item.infill_percent, item.material, item.quantity, item.color.name) == (50, "PLA", 2, "black")
    assert str(wanted.payout) == "12.50 EUR"
    assert [add_on.title for add_on in wanted.add_ons] == ["sanding"]


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60), st.text(max_size=40))
def test_a_draft_is_toml_whatever_the_mail_says(said: str, subject: str) -> None:
    reading = read(TEXT + f"Note from the customer: {said}\nColour: {said}\n", subject)
    tomllib.loads(draft(SENDER, subject, reading).replace("= ?", '= "?"'))


# --- any text -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=1500) | st.lists(st.sampled_from([*TEXT.splitlines(), "File: ", "Infill: 1", "×" * 50, "--"])).map("\n".join))
def test_any_text_is_an_order_or_has_questions(body: str) -> None:
    for template, subject in ((LINES, SUBJECT), (TABLE, "Auftrag 1 wartet")):
        reading = read_mail(template, subject, body, NOW)
        assert (reading.order is None) == bool(reading.questions)


def test_hostile_lines_are_read_in_no_time() -> None:
    """Of the longest text that is read."""
    body = "\n".join([" × in / , Füllung " * 50] * 3000)[:LONGEST_TEXT]
    began = time.monotonic()
    read_mail(TABLE, "Auftrag 1 wartet", body, NOW)
    read_mail(TABLE, "Auftrag 1 wartet", ("1 × a in PLA / b, Füllung 1\n" * 9000)[:LONGEST_TEXT], NOW + timedelta(days=1))
    assert time.monotonic() - began < 5
    assert all(len(line) <= 1000 for line in tidy(body))
