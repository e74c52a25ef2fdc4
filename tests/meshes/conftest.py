"""Reading a file from its bytes."""

import pytest

from agent.meshes.formats import read_model
from agent.meshes.limits import Limits
from agent.meshes.reading import Model
from tests.meshes.reads import Read


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("models") / "file"

    def read_bytes(content: bytes, name: str = "part.3mf", limits: Limits | None = None) -> Model:
        path.write_bytes(content)
        return read_model(path, name, limits or Limits())

    return read_bytes
