"""What is told of a model, by readers and checks alike."""

from typing import Literal, NamedTuple

Level = Literal["print", "repaired", "hold", "reject"]
"""What a finding means for the verdict; for "print" it is advice."""


class Finding(NamedTuple):
    level: Level
    code: str
    text: str
