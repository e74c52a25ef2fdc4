"""A label is this parcel's, or a person is told why it may not be; what is in it besides a page is never executed, and not printed."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, RectangleObject, TextStringObject

from agent.domain.label import LabelCheck, LabelVerdict
from agent.domain.offer import Shipping
from agent.labels import label_worker
from agent.labels.checks import LARGEST_LABEL_BYTES, check_label, judged
from agent.labels.media import named, paper_of, upright
from agent.sandbox.marketplace.label import label_pdf

SHIPPING = Shipping(carrier="Sandbox Post", tracking_number="SBX 123-456-789")
GOOD = label_pdf(["Sandbox Post", "Order r-1", "SBX123456789"], "SBX123456789")


def looked_at(content: bytes, tmp_path: Path, shipping: Shipping | None = SHIPPING) -> LabelCheck:
    """In this process: what is judged is the same."""
    (tmp_path / "label.pdf").write_bytes(content)
    return judged(label_worker._looked_at(tmp_path / "label.pdf"), shipping)


def changed(change: Callable[[PdfWriter], object]) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(GOOD)))
    change(writer)
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def codes(check: LabelCheck) -> list[str]:
    return [reason.code for reason in check.reasons]


async def test_the_sandbox_label_is_this_parcels(tmp_path: Path) -> None:
    (tmp_path / "label.pdf").write_bytes(GOOD)
    check = await check_label(tmp_path / "label.pdf", SHIPPING)
    assert (check.verdict, check.reasons, check.pages) == (LabelVerdict.GOOD, [], 1)
    assert (check.paper, check.width_mm, check.height_mm) == ("4×6 in label", 101.6, 152.4)
    assert check.carrier_found and check.tracking_found
    assert "tracking number of this parcel" in check.told


@pytest.mark.parametrize(
    ("shipping", "verdict", "reasons"),
    [
        (Shipping(carrier="Sandbox Post", tracking_number="SBX123456780"), LabelVerdict.LOOK, ["tracking"]),
        (Shipping(carrier="Other Post", tracking_number="sbx123456789"), LabelVerdict.GOOD, ["carrier"]),
        (Shipping(carrier="Sandbox Post"), LabelVerdict.LOOK, ["tracking_not_said"]),
        (None, LabelVerdict.LOOK, ["tracking_not_said"]),
    ],
)
def test_what_the_marketplace_said_is_compared(tmp_path: Path, shipping: Shipping, verdict: LabelVerdict, reasons: list[str]) -> None:
    check = looked_at(GOOD, tmp_path, shipping)
    assert (check.verdict, codes(check)) == (verdict, reasons)


def test_a_label_that_is_a_picture_is_looked_at_by_a_person(tmp_path: Path) -> None:
    check = looked_at(label_pdf([], "SBX123456789"), tmp_path)
    assert (check.verdict, codes(check), check.tracking_found) == (LabelVerdict.LOOK, ["no_text"], None)


def _page_of(width_mm: float, height_mm: float) -> Callable[[PdfWriter], object]:
    def change(writer: PdfWriter) -> None:
        writer.pages[0].mediabox = RectangleObject((0, 0, width_mm / 25.4 * 72, height_mm / 25.4 * 72))

    return change


@pytest.mark.parametrize(
    ("size", "paper"),
    [((100, 150), "100×150 mm label"), ((150, 100), "100×150 mm label"), ((105, 148), "A6"), ((210, 297), "A4"), ((216, 279), "Letter")],
)
def test_papers_have_names_upright_or_lying(tmp_path: Path, size: tuple[float, float], paper: str) -> None:
    assert looked_at(changed(_page_of(*size)), tmp_path).paper == paper


def test_several_pages_and_odd_papers_are_told(tmp_path: Path) -> None:
    two = looked_at(changed(lambda writer: writer.add_blank_page()), tmp_path)
    assert (two.verdict, codes(two), two.pages) == (LabelVerdict.LOOK, ["pages"], 2)
    odd = looked_at(changed(_page_of(62, 300)), tmp_path)
    assert (odd.verdict, codes(odd), odd.paper) == (LabelVerdict.LOOK, ["paper"], "")
    turned = looked_at(changed(lambda writer: writer.pages[0].rotate(90)), tmp_path)
    assert (turned.width_mm, turned.height_mm, turned.paper) == (152.4, 101.6, "4×6 in label")


def _launching(writer: PdfWriter) -> None:
    action = DictionaryObject({NameObject("/S"): NameObject("/Launch"), NameObject("/F"): TextStringObject("/bin/sh")})
    writer.root_object[NameObject("/OpenAction")] = writer._add_object(action)


def _with_script(writer: PdfWriter) -> None:
    action = DictionaryObject({NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("app.alert('hello')")})
    names = DictionaryObject({NameObject("/Names"): ArrayObject([TextStringObject("a"), writer._add_object(action)])})
    writer.root_object[NameObject("/Names")] = DictionaryObject({NameObject("/JavaScript"): names})


def _hidden_in_an_annotation(writer: PdfWriter) -> None:
    action = DictionaryObject({NameObject("/S"): writer._add_object(NameObject("/SubmitForm"))})
    note = DictionaryObject({NameObject("/AA"): DictionaryObject({NameObject("/E"): writer._add_object(action)})})
    writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(note)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_with_script, "JavaScript"),
        (lambda writer: writer.add_attachment("virus.exe", b"MZ"), "embedded files"),
        (_launching, "starts a program"),
        (_hidden_in_an_annotation, "sends a form"),
    ],
)
def test_what_does_more_than_show_a_page_is_refused(tmp_path: Path, change: Callable[[PdfWriter], object], says: str) -> None:
    check = looked_at(changed(change), tmp_path)
    assert (check.verdict, codes(check)) == (LabelVerdict.REFUSED, ["active"])
    assert says in check.told


def test_an_encrypted_one_is_refused(tmp_path: Path) -> None:
    check = looked_at(changed(lambda writer: writer.encrypt("secret", algorithm="RC4-128")), tmp_path)
    assert (check.verdict, codes(check)) == (LabelVerdict.REFUSED, ["encrypted"])


@pytest.mark.parametrize(("content", "code"), [(b"", "not_pdf"), (b"<html>sign in", "not_pdf"), (b"%PDF-1.4 label", "broken")])
async def test_what_is_no_label_at_all(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "label.pdf").write_bytes(content)
    check = await check_label(tmp_path / "label.pdf", SHIPPING)
    assert (check.verdict, codes(check)) == (LabelVerdict.REFUSED, [code])
    assert check.reasons[0].text.endswith("Fetch it in the marketplace's app.")


async def test_large_and_lost_ones_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "label.pdf").open("wb") as file:
        file.write(b"%PDF-1.7")
        file.truncate(LARGEST_LABEL_BYTES + 1)
    assert codes(await check_label(tmp_path / "label.pdf", SHIPPING)) == ["too_large"]
    assert codes(await check_label(tmp_path / "none.pdf", SHIPPING)) == ["unreadable"]


async def test_one_that_unpacks_without_end_ends_its_process_only(tmp_path: Path) -> None:
    """A hundred and fifty megabytes of spaces in a few kilobytes."""
    packed = zlib.compress(zlib.compress(b" " * 150_000_000, 9), 9)
    head = b"4 0 obj\n<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n" % len(packed)
    content = GOOD.split(b"4 0 obj")[0] + head + packed + b"\nendstream\nendobj\n"
    content += b"5 0 obj" + GOOD.split(b"5 0 obj")[1]
    (tmp_path / "label.pdf").write_bytes(content)
    check = await check_label(tmp_path / "label.pdf", SHIPPING)
    assert check.verdict is not LabelVerdict.GOOD


@given(cuts=st.lists(st.tuples(st.integers(0, len(GOOD)), st.binary(max_size=8)), max_size=6), behind=st.binary(max_size=30))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_it_there_is_an_answer(tmp_path: Path, cuts: list[tuple[int, bytes]], behind: bytes) -> None:
    content = bytearray(GOOD)
    for place, other in cuts:
        content[place : place + len(other)] = other
    check = looked_at(bytes(content) + behind, tmp_path)
    assert check.verdict is not LabelVerdict.GOOD or check.tracking_found
    assert check.verdict is LabelVerdict.GOOD or check.reasons


# --- papers by printers' names -----------------------------------------------------------------------------------------
DRIVER = ["iso_a4_210x297mm", "oe_4x6-label_4x6in", "om_100x150mm_100x150mm", "custom_min_25x25mm", "custom_max_108x990mm"]


@pytest.mark.parametrize(
    ("size", "supported", "name"),
    [
        ((101.6, 152.4), DRIVER, "oe_4x6-label_4x6in"),
        ((152.4, 101.6), DRIVER, "oe_4x6-label_4x6in"),
        ((100, 150), DRIVER, "om_100x150mm_100x150mm"),
        ((62, 100), DRIVER, "custom_label_62x100mm"),
        ((215.9, 279.4), DRIVER, None),
        ((101.6, 152.4), [], "na_index-4x6_4x6in"),
        ((101.6, 152.4), ["iso_a4_210x297mm"], None),
        ((210, 297), ["nonsense", "custom_x_1x1mm", "iso_a4_210x297mm"], "iso_a4_210x297mm"),
    ],
)
def test_a_paper_is_found_by_its_size(size: tuple[float, float], supported: list[str], name: str | None) -> None:
    assert named(upright(*size), supported) == name


def test_the_two_label_sizes_are_told_apart() -> None:
    assert paper_of(101.6, 152.4) != paper_of(100, 150)
    assert paper_of(90, 150) == ""
