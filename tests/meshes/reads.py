"""What a reader of models makes of some bytes, in the words of the tests."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pytest

from agent.meshes.limits import Limits
from agent.meshes.reading import Model, UnreadableModel

Corners = npt.NDArray[np.float32]


class Read(Protocol):
    def __call__(self, content: bytes, name: str = "part.3mf", limits: Limits | None = None) -> Model: ...


def refusal(read: Read, content: bytes, name: str = "part.3mf", limits: Limits | None = None) -> tuple[str, str]:
    """The code and the sentence a file is refused with."""
    with pytest.raises(UnreadableModel) as refused:
        read(content, name, limits)
    assert str(refused.value).endswith((".", "?"))
    return refused.value.code, str(refused.value)


def may_refuse(read: Read, content: bytes, name: str = "part.3mf") -> None:
    """Anything else than a refusal or a model that can be worked with is a bug."""
    try:
        corners = read(content, name).corners
    except UnreadableModel as refused:
        assert refused.code and str(refused).endswith(".")
    else:
        assert corners.dtype == np.float32 and corners.shape[1:] == (3, 3) and len(corners) and np.isfinite(corners).all()


def found(model: Model) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in model.findings]


def volume(corners: Corners) -> float:
    a, b, c = corners.astype(float).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def box(corners: Corners) -> list[list[float]]:
    flat = corners.reshape(-1, 3)
    return [flat.min(axis=0).round(3).tolist(), flat.max(axis=0).round(3).tolist()]
