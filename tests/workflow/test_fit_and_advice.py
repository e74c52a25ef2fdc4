"""What fits where, told with its value and limit for each printer and packaging; and advice, which changes no answer."""

import csv
import math
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli import cli
from agent.config.load import load
from agent.domain.decision import Answer, Decision, RuleResult
from agent.domain.errors import ConfigError, Refused
from agent.domain.fit import Packaging, Sides, lie, sides
from agent.domain.mesh import MeshReport, Stance, Verdict
from agent.domain.offer import DeclineReason, Item, Supports
from agent.domain.order import Order, State
from agent.domain.plate import Part
from agent.domain.printer import LoadedMaterial, PrinterFacts
from agent.domain.question import Step
from agent.meshes.inspector import inspect_files
from agent.operator.answers import Answers
from agent.sandbox import models
from agent.slicers.placing import EDGE_MM, free_mm, place, supports_mm, usable_mm
from agent.slicers.profiles import Profile, ProfileLibrary, default_profiles_dir
from agent.workflow.acceptance import Mode, Policy, Situation, decide
from agent.workflow.advice import advice
from agent.workflow.printer_rules import fits_bed
from tests.commands.test_commands import agent, answer
from tests.workflow.test_acceptance import NOON
from tests.workflow.workshop import BLACK, FakeMeshes, Outside, Workshop, make_offer

LIBRARY = ProfileLibrary(default_profiles_dir())
PROFILES = [LIBRARY.profile(name) for name in LIBRARY.names()]
MK3S, V0 = LIBRARY.profile("prusa-mk3s"), LIBRARY.profile("voron-v0")
ROUND_BED = ",".join(f"{90 * math.cos(n / 36 * math.pi):.4f}x{90 * math.sin(n / 36 * math.pi):.4f}" for n in range(72))
ROUND = replace(MK3S, machine=MK3S.machine | {"bed_shape": ROUND_BED})
V0_ROOM = sides(usable_mm(V0))
SOUND = Stance(overhang_share=0.05, ceiling_share=0.02, bed_contact_mm2=400, tips_at_deg=45)

lengths = st.floats(0.1, 450)
beds = st.tuples(st.floats(50, 400), st.floats(50, 400), st.just(200.0))


def facts(profile: Profile, name: str = "one") -> PrinterFacts:
    return PrinterFacts(
        name=name,
        kind="virtual",
        profile=profile.name,
        slicer="prusaslicer",
        bed_mm=usable_mm(profile),
        free_mm=free_mm(profile),
        supports_mm=supports_mm(profile),
        nozzle_mm=0.4,
        materials=[LoadedMaterial(material="PLA", color=BLACK)],
        profile_materials=["PLA"],
    )


def fit(size: Sides, profile: Profile = MK3S) -> RuleResult:
    return fits_bed(facts(profile), size)


# --- the bed -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "profile", "ok", "value"),
    [
        ((20, 20, 20), MK3S, True, "20×20×20 mm"),
        ((238, 198, 210), MK3S, True, "238×198×210 mm"),
        ((198, 238, 10), MK3S, True, "198×238×10 mm turned by 90°"),
        ((290, 10, 10), MK3S, True, "290×10×10 mm turned by 39°"),
        ((10, 290, 10), MK3S, True, "10×290×10 mm turned by 129°"),
        ((290, 10, 10), V0, False, "290×10×10 mm"),
        ((145, 5, 5), V0, True, "145×5×5 mm turned by 45°"),
        ((400, 10, 10), MK3S, False, "400×10×10 mm"),
        ((10, 10, 210), MK3S, True, "10×10×210 mm"),
        ((10, 10, 210.5), MK3S, False, "10×10×210.5 mm, fits only on another side"),
        ((200, 200, 10), MK3S, False, "200×200×10 mm, fits only on another side"),
        ((10, 10, 290), MK3S, False, "10×10×290 mm, fits only on another side"),
        ((355.6, 3.175, 355.6), MK3S, False, "355.6×3.17×355.6 mm"),
        ((238.004, 10, 10), MK3S, True, "238×10×10 mm turned by 29°"),
    ],
)
def test_a_printers_verdict_says_how_it_fits_or_why_not(size: Sides, profile: Profile, ok: bool, value: str) -> None:
    found = fit(size, profile)
    assert (found.ok, found.value) == (ok, value)
    assert found.reason is DeclineReason.TOO_BIG
    assert found.limit == ("238×198×210 mm" if profile is MK3S else V0_ROOM)


def room_taken(x: float, y: float, degrees: float) -> tuple[float, float]:
    turn = math.radians(degrees)
    return x * abs(math.cos(turn)) + y * abs(math.sin(turn)), x * abs(math.sin(turn)) + y * abs(math.cos(turn))


@settings(max_examples=150, deadline=None)
@given(x=lengths, y=st.floats(0.1, 60) | lengths, bed=beds)
def test_it_fits_exactly_where_some_turn_about_z_makes_it_fit(x: float, y: float, bed: Sides) -> None:
    found = lie((x, y, 10), bed)
    if found is not None:
        assert (found.width_mm, found.depth_mm) == pytest.approx(room_taken(x, y, found.turned_deg))
        assert found.width_mm <= bed[0] and found.depth_mm <= bed[1]
    over = min(max(width - bed[0], depth - bed[1]) for width, depth in (room_taken(x, y, n / 4) for n in range(720)))
    if found is None:
        assert over > 0
    else:
        assert over <= 0.004 * (x + y)  # no more than between two of the turns looked at


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(lengths, st.floats(0.1, 60) | lengths, st.floats(0.1, 300)),
    profile=st.sampled_from([*PROFILES, ROUND]),
    supports=st.booleans(),
)
def test_what_is_said_to_fit_is_placed_on_the_bed_and_nothing_else_is(size: Sides, profile: Profile, supports: bool) -> None:
    part = Part(item_id="a", mesh_sha256="0" * 64, quantity=1, size_mm=size, volume_mm3=1)
    said = fits_bed(facts(profile), size, supports=supports)
    if not said.ok:
        with pytest.raises(Refused) as refused:
            place([part], profile, supports=supports)
        assert refused.value.code == "does_not_fit" and said.limit in str(refused.value)
        return
    ((copy,),) = place([part], profile, supports=supports)
    width, depth = room_taken(size[0], size[1], copy.turned_deg)
    for middle, side, (low, high) in ((copy.x_mm, width, profile.bed_x_mm), (copy.y_mm, depth, profile.bed_y_mm)):
        assert low + EDGE_MM - 1e-6 <= middle - side / 2 and middle + side / 2 <= high - EDGE_MM + 1e-6
    assert size[2] <= profile.bed_mm[2]


@given(size=st.tuples(lengths, lengths, lengths), bed=beds)
def test_another_side_is_offered_only_where_it_helps(size: Sides, bed: Sides) -> None:
    printer = facts(MK3S).model_copy(update={"bed_mm": bed})
    found = fits_bed(printer, size)
    helps = any(fits_bed(printer, (x, y, z)).ok for x, y, z in permutations(size))
    assert ("on another side" in found.value) == (helps and not found.ok)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A shop of a large and a small printer."""
    (tmp_path / "printers").mkdir()
    for name, profile in (("large", "prusa-mk3s"), ("small", "voron-v0")):
        (tmp_path / "printers" / f"{name}.toml").write_text(f'name = "{name}"\nkind = "virtual"\nprofile = "{profile}"\n')
    (tmp_path / "config.toml").write_text(f'[agent]\ndata_dir = "{tmp_path}"\n')
    return tmp_path / "config.toml"


def test_inspect_tells_for_each_configured_printer_whether_it_fits(config: Path) -> None:
    model = models.write_binary_stl(config.parent / "bar.stl", models.box(290, 10, 10))
    refused = config.parent / "no.stl"
    refused.write_text("no model")
    bar, nothing = answer(agent("inspect", model, refused, "--config", config, "--json"), code=1)["files"]
    assert bar["verdict"] == "print" and bar["stance"]["bed_contact_mm2"] == pytest.approx(2900)
    assert bar["printers"] == [
        {"printer": "large", "fits": True, "size": "290×10×10 mm turned by 39°", "room": "238×198×210 mm"},
        {"printer": "small", "fits": False, "size": "290×10×10 mm", "room": V0_ROOM},
    ]
    assert (nothing["verdict"], nothing["printers"]) == ("reject", [])
    shown = CliRunner().invoke(cli, ["inspect", str(model), "--config", str(config)])
    assert (shown.exit_code, f"does not fit on small ({V0_ROOM}): 290×10×10 mm" in shown.output) == (0, True)


# --- the decision ------------------------------------------------------------------------------------------------
def item(**changes: object) -> Item:
    return Item(item_id="i1", file_id="m1", quantity=1, color=BLACK, infill_percent=15, supports=Supports.NO).model_copy(update=changes)


def report(size: Sides = (20, 20, 20), stance: Stance | None = SOUND, verdict: Verdict = Verdict.PRINT) -> MeshReport:
    return MeshReport(sha256="0" * 64, verdict=verdict, triangles=12, bounding_box_mm=size, volume_mm3=1, stance=stance)


def decided(*reports: MeshReport, printers: list[PrinterFacts] | None = None, policy: Policy | None = None, **changes: Any) -> Decision:
    meshes = dict(zip(("m1", "m2"), reports, strict=False))
    situation = Situation(make_offer(**changes), printers or [facts(MK3S)], 0, NOON, meshes)
    return decide(situation, policy or Policy())


def test_each_printer_has_its_own_verdict_of_fit_in_the_record() -> None:
    decision = decided(report((290, 10, 10)), printers=[facts(V0, "small"), facts(MK3S, "large")])
    assert decision.answer is Answer.ACCEPT and decision.printers == {"i1": ["large"]}
    assert [(rule.printer, rule.value, rule.limit, rule.ok) for rule in decision.rules if rule.rule == "fits the bed"] == [
        ("small", "290×10×10 mm", V0_ROOM, False),
        ("large", "290×10×10 mm turned by 39°", "238×198×210 mm", True),
    ]


BOXES = Policy(packagings=[Packaging(name="box-s", inner_mm=(150, 100, 80)), Packaging(name="tube", inner_mm=(60, 500, 60))])


@pytest.mark.parametrize(
    ("size", "ok"),
    [((80, 150, 100), True), ((59, 59, 230), True), ((150.1, 100, 80), False), ((61, 61, 160), False)],
)
def test_a_part_that_goes_into_no_packaging_is_declined(size: Sides, ok: bool) -> None:
    printer = facts(MK3S).model_copy(update={"bed_mm": (500, 500, 500)})
    decision = decided(report(size), printers=[printer], policy=BOXES)
    (rule,) = (rule for rule in decision.rules if rule.rule == "packaging for i1")
    assert (rule.ok, rule.limit) == (ok, "box-s 150×100×80 mm, tube 60×500×60 mm")
    assert decision.answer is (Answer.ACCEPT if ok else Answer.DECLINE)
    if not ok:
        assert decision.reason is DeclineReason.DOES_NOT_FIT_PACKAGE
        assert decision.text.startswith(f"packaging for i1: {rule.value} (limit: box-s 150×100×80 mm")


def test_the_configurations_packagings_are_what_is_looked_at(config: Path) -> None:
    config.write_text(config.read_text() + "[acceptance]\npackagings = { box-s = [150, 100.5, 80] }\n")
    assert load(config, {}).acceptance.value().packagings == [Packaging(name="box-s", inner_mm=(150, 100.5, 80))]


@pytest.mark.parametrize("inner", ["[150, 100]", "[150, 100, 80, 1]", "[150, 100, 0]", '"150x100x80"', "[]"])
def test_a_packaging_that_is_none_is_a_mistake_in_the_configuration(config: Path, inner: str) -> None:
    config.write_text(config.read_text() + f"[acceptance]\npackagings = {{ box-s = {inner} }}\n")
    with pytest.raises(ConfigError) as told:
        load(config, {})
    assert "[acceptance] packagings" in str(told.value) and "box-s" in str(told.value) and "should" not in str(told.value)


def test_packaging_is_looked_at_only_where_some_is_named_and_a_size_is_known() -> None:
    assert not [rule for rule in decided(report()).rules if "packaging" in rule.rule]
    unknown = decided(policy=BOXES)
    assert unknown.answer is Answer.ASK and "size not known before acceptance" in unknown.text and unknown.packaging == ""
    assert decided(policy=BOXES, items=[item(bounding_box_mm=[200, 70, 70])]).reason is DeclineReason.DOES_NOT_FIT_PACKAGE


# --- advice ------------------------------------------------------------------------------------------------------
def standing(**changes: float) -> MeshReport:
    return report(stance=SOUND.model_copy(update=changes))


TOWER = report((10, 10, 300), Stance(overhang_share=0, ceiling_share=0, bed_contact_mm2=100, tips_at_deg=1.9))
T_SHAPE = report((40, 40, 34), Stance(overhang_share=0.298, ceiling_share=0.298, bed_contact_mm2=100, tips_at_deg=10.7))
BALL = report((60, 60, 60), Stance(overhang_share=0.153, ceiling_share=0.006, bed_contact_mm2=16.6, tips_at_deg=4.6))


@pytest.mark.parametrize(
    ("model", "supports", "said"),
    [
        (standing(), "no", ""),
        (standing(overhang_share=0.16, ceiling_share=0.06, tips_at_deg=10), "no", ""),
        (standing(overhang_share=0.21), "no", "21% of its surface hangs over by more than 45°, and the order says no supports"),
        (T_SHAPE, "no", "30% of its surface lies flat over air, and the order says no supports"),
        (T_SHAPE, "yes", ""),
        (T_SHAPE, "operator", ""),
        (BALL, "no", "touches the bed with only 16.6 mm², and the order says no supports"),
        (BALL, "operator", ""),
        (TOWER, "no", "stands on little for its height (tilted by 2° it falls over)"),
        (TOWER, "yes", "stands on little for its height (tilted by 2° it falls over)"),
        (report(stance=None), "no", ""),
    ],
)
def test_advice_is_given_where_it_matters(model: MeshReport, supports: str, said: str) -> None:
    offer = make_offer(items=[item(supports=Supports(supports))])
    told = advice(offer, {"m1": model})
    assert len(told) == bool(said)
    assert all(sentence.startswith("hook.stl: ") and said in sentence for sentence in told)


def test_the_same_advice_is_given_once_and_each_model_has_its_own() -> None:
    offer = make_offer(items=[item(), item(item_id="i2"), item(item_id="i3", supports=Supports.YES)])
    assert len(advice(offer, {"m1": T_SHAPE})) == 1
    assert len(advice(offer, {})) == 0


@settings(max_examples=60, deadline=None)
@given(
    stance=st.builds(
        Stance,
        overhang_share=st.floats(0, 1),
        ceiling_share=st.floats(0, 1),
        bed_contact_mm2=st.floats(0, 1e5),
        tips_at_deg=st.floats(0, 90),
    ),
    mode=st.sampled_from(Mode),
    supports=st.sampled_from(Supports),
)
def test_advice_never_changes_an_answer(stance: Stance, mode: Mode, supports: Supports) -> None:
    with_it, without = (
        decided(report(stance=known), policy=Policy(mode=mode), items=[item(supports=supports)]) for known in (stance, None)
    )
    assert with_it.model_copy(update={"advice": []}) == without
    assert without.advice == []


def standing_as(monkeypatch: pytest.MonkeyPatch, known: MeshReport) -> None:
    """Every model that is inspected is this one."""

    async def inspect(_meshes: FakeMeshes, sha256: str, *_more: object) -> MeshReport:
        return known.model_copy(update={"sha256": sha256, "canonical_sha256": sha256})

    monkeypatch.setattr(FakeMeshes, "inspect", inspect)


async def asked_about(workshop: Workshop, **offer: Any) -> Order:
    workshop.outside.market.add(make_offer(**offer))
    workshop.receive()
    await workshop.settle()
    (order,) = workshop.ledger.orders()
    return order


async def test_the_person_who_answers_an_offer_is_told_and_it_stays_in_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing_as(monkeypatch, T_SHAPE)
    with Workshop(Outside(tmp_path), policy=Policy(mode=Mode.ASK)) as workshop:
        order = await asked_about(workshop)
        (question,) = workshop.ledger.open_questions()
        assert "Advice: accept. hook.stl: 30% of its surface lies flat over air" in question.text
        Answers(workshop.ledger, workshop.store, "Ada").choose(Step.OFFER, order.id, "accept")
        await workshop.settle()
        assert workshop.ledger.order(order.id).state is State.SLICED
        told = {event.kind: event.data["advice"] for event in workshop.ledger.events(order.id) if "advice" in event.data}
        assert set(told) == {"decided", "checked"} and told["decided"] == told["checked"] != []


async def test_orders_show_tells_advice_on_files_that_came_after_acceptance(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing_as(monkeypatch, TOWER)
    small = Policy(packagings=[Packaging(name="box-s", inner_mm=(150, 100, 80))])
    with Workshop(Outside(config.parent), policy=small) as workshop:
        order = await asked_about(workshop, files_before_accept=False)
        Answers(workshop.ledger, workshop.store, "Ada").choose(Step.OFFER, order.id, "accept")
        await workshop.settle()
        order = workshop.ledger.order(order.id)
        assert order.state is State.SLICED and order.dossier.decision is not None and order.dossier.decision.advice == []
    shown = CliRunner().invoke(cli, ["orders", "show", order.id, "--config", str(config)], env={"COLUMNS": "300"})
    assert shown.exit_code == 0, shown.output
    assert "advice: hook.stl: it stands on little for its height (tilted by 2° it falls over)" in shown.output
    assert "advice: hook.stl: 10×10×300 mm goes into none of your packagings (box-s)." in shown.output


# --- sound parts are let alone -----------------------------------------------------------------------------------
SAMPLES = Path(__file__).parents[2].parent / "shared" / "stl"
TOLD = {
    "14_1002_tray_bottom.STL": ["it stands on little for its height", "On its back it would"],  # a tray on its edge
    "18_3DBenchy_-_Multi-part_-_Single_-_Chimney_top_-_3DBenchy.com_.stl": [  # on a rounded rim
        "it touches the bed with only 1.2 mm²",
        "Upside down it would",
    ],
}
"""And on which side they would stand well."""


@pytest.mark.skipif(not SAMPLES.exists(), reason="the real models are not beside this checkout")
async def test_of_real_sound_parts_only_those_that_stand_badly_are_told_about() -> None:
    with (SAMPLES / "manifest.tsv").open(encoding="utf-8") as file:
        sound = {row["file"] for row in csv.DictReader(file, delimiter="\t") if row["expected"] == "print"}
    found = {path.name: known async for path, known in inspect_files([SAMPLES / name for name in sorted(sound | set(TOLD))])}
    for name, known in found.items():
        told = advice(make_offer(), {"m1": known})
        assert known.stance is not None
        expected = TOLD.get(name, [])
        assert len(told) == len(expected) and all(map(str.__contains__, told, expected)), f"{name}: {told}"
        assert bool(known.better_poses) == (name in TOLD), name
