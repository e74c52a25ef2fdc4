"""What holds a dossier together: a manifest with the sha256 of every member, and a seal with the manifest's own.

The manifest also names the last link of the order's chain of events. The seal proves nothing by itself about who wrote the file: whoever
rewrites all of it can seal it anew. Held against the ledger it came from (or the seal that was noted when it was made) it does.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from agent.domain.values import Sha256, Value
from agent.dossiers.archive import Damaged

FORMAT, VERSION = "intagly-agent dossier", 1
MANIFEST, SEAL = "manifest.json", "seal.json"


class Member(Value):
    name: str
    bytes: int
    sha256: Sha256


class ChainEnd(Value):
    """The last event in the dossier: its number and hash."""

    n: int
    hash: str


class Manifest(Value):
    format: str
    version: int
    made_with: str
    order_id: str
    last_event: ChainEnd
    members: list[Member]


def canonical(document: object) -> bytes:
    """JSON in one way only."""
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def sealed(members: Mapping[str, bytes], order_id: str, last_event: ChainEnd, made_with: str) -> dict[str, bytes]:
    """The members with their manifest and its seal."""
    listed = [Member(name=name, bytes=len(content), sha256=sha256(content)) for name, content in members.items()]
    manifest = Manifest(format=FORMAT, version=VERSION, made_with=made_with, order_id=order_id, last_event=last_event, members=listed)
    written = canonical(manifest.model_dump(mode="json"))
    return {**members, MANIFEST: written, SEAL: canonical({"manifest_sha256": sha256(written)})}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_manifest(members: Mapping[str, bytes]) -> Manifest:
    """Damaged where there is none, where it is not written as we write it, or where its seal is not its own."""
    written = members.get(MANIFEST)
    if written is None or SEAL not in members:
        raise Damaged("It has no manifest, or no seal: it is no dossier, or only a part of one.")
    if members[SEAL] != canonical({"manifest_sha256": sha256(written)}):
        raise Damaged("The seal is not that of the manifest: one of them was changed.")
    document = parsed(written, MANIFEST)
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise Damaged(f"The manifest is not one: {error.errors()[0]['msg']}.") from error
    if canonical(manifest.model_dump(mode="json")) != written:
        raise Damaged("The manifest is not written as it must be.")
    if (manifest.format, manifest.version) != (FORMAT, VERSION):
        raise Damaged(f"It is “{manifest.format}” version {manifest.version}; this program reads “{FORMAT}” version {VERSION}.")
    return manifest


def parsed(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{name} cannot be read as JSON.") from error
