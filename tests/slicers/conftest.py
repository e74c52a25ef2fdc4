from pathlib import Path

import pytest

from tests.slicers.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.in_folder(tmp_path)
