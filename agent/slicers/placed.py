"""A copy that has its place on a plate (placing.py gives it), and what its part is called in front of a slicer."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"item-([0-9a-f]+)")


@dataclass(frozen=True)
class Placed:
    """One copy: which part, where the middle of its box stands, and by how much it is turned about z, anticlockwise from above."""

    item_id: str
    mesh_sha256: str
    x_mm: float
    y_mm: float
    turned_deg: float


def object_name(item_id: str) -> str:
    """The name a part has in the 3MF, and so in the G-code's labels: ours, safe and unique, never the customer's."""
    return "item-" + item_id.encode().hex()


def with_item_ids(text: str) -> str:
    """The slicer's words with our object names put back into item ids."""
    return _NAME.sub(lambda found: _item_of(found[1]), text)


def _item_of(digits: str) -> str:
    try:
        return bytes.fromhex(digits).decode()
    except ValueError:
        return "item-" + digits
