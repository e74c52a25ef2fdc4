"""The rule for old files: what is needed never goes, whatever the limits, and room is made where there is any to be made."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.retention import LATELY, REMAKEABLE, Claim, Held, Kind, Rule, removals

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ages = st.timedeltas(timedelta(0), timedelta(days=900))
claims = st.builds(
    Claim, order_id=st.sampled_from("abcdef"), kind=st.sampled_from(Kind), ended_at=ages.map(lambda age: NOW - age), taken=st.booleans()
)
files = st.lists(
    st.builds(
        Held,
        sha256=st.integers(0, 2**32).map(lambda n: f"{n:064x}"),
        bytes=st.integers(0, 10_000),
        wanted_at=ages.map(lambda age: NOW - age),
        needed=st.booleans(),
        claims=st.lists(claims, max_size=2),
    ),
    max_size=10,
    unique_by=lambda file: file.sha256,
)
days = st.none() | st.integers(0, 800)
rules = st.builds(
    Rule,
    days=st.fixed_dictionaries({kind: days for kind in Kind if kind is not Kind.OTHER}),
    declined_days=days,
    most_bytes=st.none() | st.integers(0, 100_000),
)


def over(claim: Claim, rule: Rule) -> bool:
    """Said again, another way: the day on which this order lets go of the file has come."""
    kept = (None if claim.kind is Kind.OTHER else rule.days[claim.kind]) if claim.taken else rule.declined_days
    return kept is not None and claim.ended_at + timedelta(days=kept) <= NOW


@settings(max_examples=50)
@given(files, rules)
def test_only_what_nobody_needs_goes_and_each_file_once(held: Sequence[Held], rule: Rule) -> None:
    gone = [removal.file for removal in removals(held, rule, NOW)]
    assert len({file.sha256 for file in gone}) == len(gone)
    for file in gone:
        assert not file.needed
        assert NOW - file.wanted_at >= LATELY
        remade = {claim.kind for claim in file.claims} <= REMAKEABLE and rule.most_bytes is not None
        assert remade or (all(over(claim, rule) for claim in file.claims) and (file.claims or rule.declined_days is not None))


@settings(max_examples=50)
@given(files, rules)
def test_what_every_order_lets_go_of_goes(held: Sequence[Held], rule: Rule) -> None:
    gone = {removal.file.sha256 for removal in removals(held, rule, NOW)}
    for file in held:
        if not file.needed and NOW - file.wanted_at >= LATELY and file.claims and all(over(claim, rule) for claim in file.claims):
            assert file.sha256 in gone


@settings(max_examples=50)
@given(files, rules)
def test_the_budget_is_kept_wherever_it_can_be_and_by_no_more_than_it_takes(held: Sequence[Held], rule: Rule) -> None:
    planned = removals(held, rule, NOW)
    gone = {removal.file.sha256 for removal in planned}
    left = [file for file in held if file.sha256 not in gone]
    if rule.most_bytes is None:
        return
    if sum(file.bytes for file in left) > rule.most_bytes:
        for file in left:
            remakeable = {claim.kind for claim in file.claims} <= REMAKEABLE
            assert file.needed or NOW - file.wanted_at < LATELY or not remakeable, "this one could have gone"
    budgeted = [removal.file for removal in planned if removal.why.startswith("all files together")]
    if budgeted:
        assert sum(file.bytes for file in left) + budgeted[-1].bytes > rule.most_bytes, "the last one went for nothing"


def held(sha: str, size: int, *claims: Claim, needed: bool = False, wanted_days: float = 100) -> Held:
    return Held(sha * 64, size, NOW - timedelta(days=wanted_days), needed, claims)


def claim(kind: Kind, ended_days: float, order: str = "o1", *, taken: bool = True) -> Claim:
    return Claim(order, kind, NOW - timedelta(days=ended_days), taken)


KEPT = Rule({Kind.GCODE: 30, Kind.MESH: 30, Kind.PICTURE: 30, Kind.MODEL: 180, Kind.PHOTO: 730, Kind.LABEL: None}, 7, None)


def gone(*files: Held, rule: Rule = KEPT) -> list[str]:
    return [removal.file.sha256[0] for removal in removals(files, rule, NOW)]


def test_a_file_of_two_orders_stays_as_long_as_the_later_one_keeps_it() -> None:
    assert gone(held("a", 1, claim(Kind.GCODE, 90), claim(Kind.GCODE, 10, "o2"))) == []
    assert gone(held("a", 1, claim(Kind.GCODE, 90), claim(Kind.GCODE, 31, "o2"))) == ["a"]


def test_evidence_stays_and_offers_that_were_not_taken_go_soon() -> None:
    assert gone(held("l", 1, claim(Kind.LABEL, 5000)), held("x", 1, claim(Kind.OTHER, 5000))) == []
    assert gone(held("m", 1, claim(Kind.MODEL, 8, taken=False)), held("n", 1, claim(Kind.MODEL, 8))) == ["m"]


def test_for_the_budget_the_order_that_ended_first_gives_its_biggest_first_and_no_original() -> None:
    files = (
        held("a", 500, claim(Kind.GCODE, 5)),
        held("b", 100, claim(Kind.GCODE, 20)),
        held("c", 300, claim(Kind.MESH, 20)),
        held("d", 900, claim(Kind.MODEL, 20)),
        held("e", 900, claim(Kind.GCODE, 20), needed=True),
        held("f", 900, claim(Kind.GCODE, 20), wanted_days=0.5),
        held("g", 900, claim(Kind.MESH, 20), claim(Kind.MODEL, 20)),
    )
    assert gone(*files, rule=KEPT._replace(most_bytes=4100)) == ["c", "b"]
    assert gone(*files, rule=KEPT._replace(most_bytes=0)) == ["c", "b", "a"]
