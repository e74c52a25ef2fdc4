"""The pictures that are made of every mesh. Known to both sides of the pipe, so nothing heavy is imported here."""

from typing import Literal

View = Literal["isometric", "top"]
VIEWS: tuple[View, ...] = ("isometric", "top")
"""From the front, the right and above, with no vanishing point; and straight from above."""

SIZE_PX = 480
