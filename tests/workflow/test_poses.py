"""A model that stands badly without supports: a better side is named with its reason, and taken where that is configured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.config.load import load
from agent.domain.decision import Answer, Decision
from agent.domain.fit import Packaging
from agent.domain.mesh import MeshReport, Pose, Stance, Verdict
from agent.domain.offer import Item, Supports
from agent.domain.order import Order
from agent.domain.plate import Part, SlicedPlate
from agent.domain.printer import PrinterFacts
from agent.ports.slicer import Progress, SliceWork
from agent.sandbox import models
from agent.workflow.acceptance import Mode, Policy, Situation, decide
from agent.workflow.poses import Orient
from tests.commands.test_commands import agent, answer
from tests.rigs.agent_process import AgentHome
from tests.workflow.test_acceptance import NOON
from tests.workflow.workshop import BLACK, FakeMeshes, FakeSlicer, Outside, Workshop, make_offer

AS_GIVEN = Stance(overhang_share=0.38, ceiling_share=0.3, bed_contact_mm2=3, tips_at_deg=10)
GOOD = Stance(overhang_share=0.01, ceiling_share=0, bed_contact_mm2=412, tips_at_deg=60)
UPSIDE_DOWN, ON_ITS_LEFT = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)), ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
FLIPPED = Pose(turn=UPSIDE_DOWN, bounding_box_mm=(40, 40, 60), stance=GOOD)
LYING = Pose(turn=ON_ITS_LEFT, bounding_box_mm=(60, 40, 40), stance=GOOD)
REPORT = MeshReport(
    sha256="0" * 64,
    verdict=Verdict.PRINT,
    triangles=12,
    bounding_box_mm=(40, 40, 60),
    volume_mm3=8000,
    stance=AS_GIVEN,
    better_poses=[FLIPPED, LYING],
)
PROPOSED = "hook.stl: Upside down it would touch the bed with 412 mm² instead of 3.0 and overhang 1% instead of 38%."
TAKEN = (
    "hook.stl: it is printed upside down: as it is given it would touch the bed with 3.0 mm² instead of 412 and overhang 38% instead of 1%."
)


def item(item_id: str = "i1", supports: Supports = Supports.NO) -> Item:
    return Item(item_id=item_id, file_id="m1", quantity=1, color=BLACK, infill_percent=15, supports=supports)


def facts(name: str = "one", bed: tuple[float, float, float] = (200, 200, 200)) -> PrinterFacts:
    with_bed = {"name": name, "kind": "fake", "profile": "test", "slicer": "fake", "bed_mm": bed, "nozzle_mm": 0.4}
    return PrinterFacts.model_validate(with_bed | {"materials": [{"material": "PLA", "color": BLACK}], "profile_materials": ["PLA"]})


def decided(
    report: MeshReport = REPORT, printers: Sequence[PrinterFacts] = (facts(),), policy: Policy | None = None, **offer: Any
) -> Decision:
    return decide(Situation(make_offer(**offer), printers, 0, NOON, {"m1": report}), policy or Policy())


# --- proposed ----------------------------------------------------------------------------------------------------------
def test_a_better_side_is_named_with_what_it_gains_and_changes_no_answer() -> None:
    decision = decided()
    assert decision.answer is Answer.ACCEPT and decision.advice[-1] == PROPOSED
    assert "it may sag there" in decision.advice[0]
    assert decision.model_copy(update={"advice": []}) == decided(REPORT.model_copy(update={"better_poses": []})).model_copy(
        update={"advice": []}
    )


@pytest.mark.parametrize("supports", [Supports.YES, Supports.OPERATOR])
def test_with_supports_nothing_is_proposed(supports: Supports) -> None:
    assert not any("would" in sentence for sentence in decided(items=[item(supports=supports)]).advice)


BOXES = [Packaging(name="flat", inner_mm=(100, 100, 50))]


@pytest.mark.parametrize(
    ("printers", "packagings", "how"),
    [
        ([facts()], [], "Upside down"),
        ([facts(bed=(50, 50, 100))], [], "Upside down"),
        ([facts(bed=(50, 50, 100)), facts("flat", (100, 100, 50))], [], "Upside down"),
        ([facts(bed=(45, 45, 59))], [], "Upside down"),  # it fits nowhere as it is given: nothing is lost
        ([], BOXES, "Upside down"),
    ],
)
def test_a_side_that_fits_as_well_is_named(printers: list[PrinterFacts], packagings: list[Packaging], how: str) -> None:
    assert any(f"{how} it would" in sentence for sentence in decided(printers=printers, policy=Policy(packagings=packagings)).advice)


@pytest.mark.parametrize(
    ("poses", "printers", "packagings", "how"),
    [
        ([LYING, FLIPPED], [facts(bed=(50, 50, 100))], [], "Upside down"),
        ([LYING], [facts(bed=(50, 50, 100))], [], ""),
        ([LYING], [facts(), facts("narrow", (50, 50, 100))], [], ""),
        ([LYING], [facts(), facts("low", (100, 100, 50))], [], "On its left side"),
        (
            [LYING.model_copy(update={"bounding_box_mm": (70, 40, 40)}), FLIPPED],
            [facts()],
            [Packaging(name="s", inner_mm=(60, 40, 40))],
            "Upside",
        ),
    ],
)
def test_no_side_is_named_by_which_a_printer_or_a_packaging_is_lost(
    poses: list[Pose], printers: list[PrinterFacts], packagings: list[Packaging], how: str
) -> None:
    decision = decided(REPORT.model_copy(update={"better_poses": poses}), printers, Policy(packagings=packagings))
    named = [sentence for sentence in decision.advice if "it would" in sentence]
    assert len(named) == bool(how) and all(how in sentence for sentence in named)


# --- applied -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def sliced(monkeypatch: pytest.MonkeyPatch) -> dict[str, Part]:
    """Every part that was sliced, by its item; every model that is inspected is the one above."""
    parts: dict[str, Part] = {}
    slice_ = FakeSlicer.slice

    async def remembered(slicer: FakeSlicer, work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        parts.update({part.item_id: part for part in work.parts})
        return await slice_(slicer, work, progress)

    async def inspect(_meshes: FakeMeshes, sha256: str, _name: str, alone: bool = False) -> MeshReport:
        return REPORT.model_copy(update={"sha256": sha256, "canonical_sha256": sha256, "better_poses": [LYING] if alone else []})

    monkeypatch.setattr(FakeSlicer, "slice", remembered)
    monkeypatch.setattr(FakeMeshes, "inspect", inspect)
    return parts


async def order_in(workshop: Workshop, **offer: Any) -> Order:
    workshop.outside.market.add(make_offer(**offer))
    workshop.receive()
    await workshop.settle()
    (order,) = workshop.ledger.orders()
    return order


async def test_only_where_it_is_configured_is_the_model_printed_on_that_side(tmp_path: Path, sliced: dict[str, Part]) -> None:
    with Workshop(Outside(tmp_path)) as workshop:
        order = await order_in(workshop)
        report = order.dossier.meshes["m1"]
        assert report.turned is None
        assert (sliced["i1"].mesh_sha256, sliced["i1"].size_mm) == (report.canonical_sha256, (40, 40, 60))


async def test_the_turned_mesh_is_what_is_sliced_proved_and_shown_and_the_history_says_why(tmp_path: Path, sliced: dict[str, Part]) -> None:
    both = [item(), item("i2", Supports.YES)]
    with Workshop(Outside(tmp_path), orient=Orient.APPLY) as workshop:
        order = await order_in(workshop, items=both)
        report = order.dossier.meshes["m1"]
        assert report.turned is not None and report.turned.mesh_sha256 not in ("", report.canonical_sha256)
        assert (sliced["i1"].mesh_sha256, sliced["i1"].size_mm) == (report.turned.mesh_sha256, (60, 40, 40))
        assert (sliced["i2"].mesh_sha256, sliced["i2"].size_mm) == (report.canonical_sha256, (40, 40, 60)), "with supports: as it is given"
        picture = workshop.store.path(report.pictures["isometric"]).read_text()
        assert picture == f"a picture of {report.turned.mesh_sha256}"
        events = {event.kind: event.data for event in workshop.ledger.events(order.id)}
        told = [TAKEN.replace("upside down", "on its left side")]
        assert events["decided"]["advice"] == events["checked"]["advice"] == told
        assert events["checked"]["turned"] == {"m1": "on its left side"}


async def test_fit_and_packaging_are_judged_as_it_is_printed(tmp_path: Path, sliced: dict[str, Part]) -> None:
    policy = Policy(packagings=[Packaging(name="tube", inner_mm=(45, 45, 70))])
    with Workshop(Outside(tmp_path), orient=Orient.APPLY, policy=policy) as workshop:
        decision = (await order_in(workshop)).dossier.decision
        assert decision is not None
        values = {rule.rule: rule.value for rule in decision.rules}
        assert values["fits the bed"] == values["packaging for i1"] == "60×40×40 mm"
        assert sliced


async def test_with_supports_the_mesh_stays_as_it_is_given(tmp_path: Path, sliced: dict[str, Part]) -> None:
    with Workshop(Outside(tmp_path), orient=Orient.APPLY) as workshop:
        order = await order_in(workshop, items=[item(supports=Supports.OPERATOR)])
        report = order.dossier.meshes["m1"]
        assert report.turned is None and sliced["i1"].mesh_sha256 == report.canonical_sha256
        assert report.better_poses == [], "nothing was looked for"


async def test_a_mesh_that_could_not_be_turned_is_printed_as_it_is_given_and_the_side_is_proposed(
    tmp_path: Path, sliced: dict[str, Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_meshes: FakeMeshes, _mesh_sha256: str, _pose: Pose) -> None:
        return None

    monkeypatch.setattr(FakeMeshes, "turned", fails)
    with Workshop(Outside(tmp_path), orient=Orient.APPLY, policy=Policy(mode=Mode.ASK)) as workshop:
        await order_in(workshop)
        (question,) = workshop.ledger.open_questions()
        assert PROPOSED.replace("Upside down", "On its left side") in question.text
        assert sliced["i1"].size_mm == (40, 40, 60)


async def test_gcode_that_does_not_prove_is_asked_about_with_the_better_side(tmp_path: Path, sliced: dict[str, Part]) -> None:
    with Workshop(Outside(tmp_path)) as workshop:
        workshop.slicer.proves = False
        order = await order_in(workshop, files_before_accept=False)
        (question,) = workshop.ledger.open_questions()
        assert PROPOSED.replace("Upside down", "On its left side") in question.text, order.state
        assert sliced


# --- with the real slicer ------------------------------------------------------------------------------------------------
def test_a_t_is_sliced_upside_down_and_proves(tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    model = models.write_binary_stl(tmp_path / "t.stl", models.t_shape())
    call = ("slice", model, "--config", home.config, "--supports", "no", "--infill", 5, "--json", "-o")
    (turned,) = answer(agent(*call, tmp_path / "turned", "--set", "slicing.orient=apply"))["plates"]
    proof = {line["check"]: line["found"] for line in turned["proof"]}
    assert turned["warnings"] == [] and "34" in proof["height"]
    gcode = Path(turned["gcode"]).read_text()
    first_layer = gcode.split(";LAYER_CHANGE")[1]
    assert extruded_span(first_layer) == pytest.approx(40, abs=1), "the plate lies on the bed"


def extruded_span(layer: str) -> float:
    """How wide in x the lines of the part's own first layer are."""
    kind, xs = "", []
    for line in layer.splitlines():
        if line.startswith(";TYPE:"):
            kind = line[6:]
        elif line.startswith("G1") and "X" in line and " E" in line and kind == "External perimeter":
            xs.append(float(line.split("X")[1].split()[0]))
    return max(xs) - min(xs)


def test_inspect_tells_the_better_side_without_any_configuration(tmp_path: Path) -> None:
    good = models.write_binary_stl(tmp_path / "cube.stl", models.cube(20))
    model = models.write_binary_stl(tmp_path / "t.stl", models.t_shape())
    shown = CliRunner().invoke(cli, ["inspect", str(good), str(model)])
    assert shown.exit_code == 0, shown.output
    line = (
        "Without supports it stands badly. Upside down it would touch the bed with 1600 mm² instead of 100 and overhang 0% instead of 30%."
    )
    assert shown.output.count("stands badly") == 1 and line in shown.output
    sound, told = answer(agent("inspect", good, model, "--json"))["files"]
    assert "better_poses" not in sound
    (pose,) = told["better_poses"]
    assert pose["bounding_box_mm"] == [40, 40, 34] and pose["turn"] == [[1, 0, 0], [0, -1, 0], [0, 0, -1]]


def test_what_is_configured_is_one_of_the_two(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[agent]\ndata_dir = "{tmp_path}"\n')
    assert load(config, {}).slicing.orient is Orient.PROPOSE
    config.write_text(config.read_text() + '[slicing]\norient = "apply"\n')
    assert load(config, {}).slicing.orient is Orient.APPLY
