"""Into which packaging an order goes, all of it together. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from agent.domain.decision import RuleResult
from agent.domain.fit import Packaging, Sides
from agent.domain.mesh import MeshReport
from agent.domain.offer import DeclineReason, Item
from agent.domain.order import Dossier
from agent.domain.packing import LOOKS, Fit, Kind, pack
from agent.workflow.sizes import size_of, size_told

_EACH_TOLD = 10
"""So many items have a line of their own in the record."""


@dataclass(frozen=True)
class PackagingFound:
    """`name` empty: none was found. `doubt`: why a person has to say whether there is one."""

    name: str = ""
    rules: Sequence[RuleResult] = ()
    doubt: str = ""


@dataclass
class _Tried:
    """What became of each packaging: by its name the proof that it is none, "" where that is not known."""

    why_not: dict[str, str] = field(default_factory=dict)
    none_left: list[str] = field(default_factory=list)


def find_packaging(
    items: Sequence[Item], meshes: Mapping[str, MeshReport], packagings: Sequence[Packaging], spoken_for: Mapping[str, int]
) -> PackagingFound:
    """The smallest that all copies go into. `spoken_for`: by packaging, how many orders that were accepted are still to go into one."""
    if not packagings:
        return PackagingFound()
    each = _each_alone(items, meshes, packagings)
    known = [(item, size) for item in items if (size := size_of(item, meshes)) is not None]
    kinds = [Kind(size, item.quantity) for item, size in known]
    parts = sum(item.quantity for item in items)
    what = f"{parts} part{'s' if parts > 1 else ''}"
    name, tried = _smallest(kinds, packagings, spoken_for)
    unknown = len(items) - len(known)
    if name and not unknown:
        return PackagingFound(name, [*each, _rule(f"{what} into {name}", packagings, ok=True)])
    if not name and all(tried.why_not.values()):
        return PackagingFound("", [*each, _rule(_told(what, tried), packagings, ok=False)])
    if unknown:
        doubt = f"whether {what} go into one packaging together is not known: {size_told(None)} of {unknown} of the items"
    else:
        doubt = f"whether {what} go into one packaging together was not found out; by their volume they may"
    return PackagingFound("", [*each, _rule(f"{what}: not known", packagings, ok=True)], doubt)


def packaging_of(dossier: Dossier, packagings: Sequence[Packaging]) -> str:
    """The one that was promised; found now, by how large the parts turned out, where that was not known then. Empty: none."""
    decision = dossier.decision
    if decision is not None and decision.packaging:
        return decision.packaging
    return find_packaging(dossier.offer.items, dossier.meshes, packagings, {}).name


def packaging_told(name: str, packagings: Sequence[Packaging]) -> str:
    """What is behind "Pack 1 × hook.stl" in the task: which, and where the count says so, that there is none."""
    if not name:
        return ""
    none_left = any(packaging.name == name and packaging.stock == 0 for packaging in packagings)
    return f" into {name}{' (none is left, by the count: say which you took)' if none_left else ''}"


def _smallest(kinds: Sequence[Kind], packagings: Sequence[Packaging], spoken_for: Mapping[str, int]) -> tuple[str, _Tried]:
    """The search has its time for all of them together."""
    tried, looks = _Tried(), LOOKS // max(1, len(packagings))
    for packaging in sorted(packagings, key=lambda one: prod(one.inner_mm)):
        if packaging.stock is not None and packaging.stock - spoken_for.get(packaging.name, 0) <= 0:
            tried.none_left.append(packaging.name)
            continue
        packed = pack(kinds, packaging, looks)
        if packed.fit is Fit.FITS:
            return packaging.name, tried
        tried.why_not[packaging.name] = packed.why
    return "", tried


def _told(what: str, tried: _Tried) -> str:
    why = [f"{name}: {why}" for name, why in tried.why_not.items()]
    return "; ".join([f"{what} into none", *why, *(f"{name}: none is left" for name in tried.none_left)])


def _rule(value: str, packagings: Sequence[Packaging], *, ok: bool) -> RuleResult:
    limit = f"one of {_named(packagings)}"
    return RuleResult(rule="packaging", value=value, limit=limit, ok=ok, reason=DeclineReason.DOES_NOT_FIT_PACKAGE)


def _named(packagings: Sequence[Packaging]) -> str:
    return ", ".join(packaging.told for packaging in packagings)


def _each_alone(items: Sequence[Item], meshes: Mapping[str, MeshReport], packagings: Sequence[Packaging]) -> list[RuleResult]:
    """Where one part alone is too large, that is told of it; of many items only those."""
    rules = [_alone(item, size_of(item, meshes), packagings) for item in items]
    return rules if len(rules) <= _EACH_TOLD else [rule for rule in rules if not rule.ok][:_EACH_TOLD]


def _alone(item: Item, size: Sides | None, packagings: Sequence[Packaging]) -> RuleResult:
    ok = size is None or any(packaging.holds(size) for packaging in packagings)
    return RuleResult(
        rule=f"packaging for {item.item_id}",
        value=size_told(size),
        limit=_named(packagings),
        ok=ok,
        reason=DeclineReason.DOES_NOT_FIT_PACKAGE,
    )
