"""From configuration to adapters: what cannot be used is told before the daemon starts."""

from pathlib import Path

import pytest

from agent.config.load import load
from agent.domain.errors import ConfigError
from agent.shopfloor import facts_of
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir
from agent.wire.tls import trusting
from agent.wiring import build_printers

MK3S = Path(default_profiles_dir()) / "prusa-mk3s"


def a_shop(folder: Path, printer: str, *, clears_bed: str = "") -> Path:
    profile = folder / "profiles" / "pusher"
    profile.mkdir(parents=True)
    for file in MK3S.iterdir():
        (profile / file.name).write_text(file.read_text())
    about = profile / "profile.toml"
    about.write_text(clears_bed + about.read_text())
    (folder / "printers").mkdir()
    (folder / "printers" / "a.toml").write_text(f'name = "a"\nkind = "virtual"\nprofile = "pusher"\n{printer}')
    (folder / "config.toml").write_text('[agent]\ndata_dir = "data"\n[slicing]\nprofiles_dir = "profiles"\n')
    return folder / "config.toml"


def test_a_bed_that_clears_itself_needs_a_profile_that_says_how(tmp_path: Path) -> None:
    settings = load(a_shop(tmp_path, 'bed_clearing = "automatic"\n'))
    with pytest.raises(ConfigError) as told:
        build_printers(settings)
    assert "clears_bed" in told.value.hint


def test_a_profile_that_says_how_lets_the_bed_clear_itself(tmp_path: Path) -> None:
    settings = load(a_shop(tmp_path, 'bed_clearing = "automatic"\n', clears_bed='clears_bed = "the head pushes the part off"\n'))
    assert build_printers(settings)["a"].facts.clears_its_own_bed


@pytest.mark.parametrize(("told", "limit"), [("", 45.0), ("bed_cool_c = 60\n", 60.0), ("bed_cool_c = 0\n", None)])
def test_how_cool_a_bed_has_to_be(tmp_path: Path, told: str, limit: float | None) -> None:
    settings = load(a_shop(tmp_path, told))
    assert settings.slicing.profiles_dir is not None
    assert facts_of(settings.printers[0], ProfileLibrary(settings.slicing.profiles_dir)).bed_cool_c == limit


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_authority_that_is_none_is_told(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as told:
        trusting(file)
    assert str(file) in str(told.value)
