"""The page of the real daemon: https, the code in its log, a code by command, and what it costs."""

import ssl
from pathlib import Path

import httpx
import psutil
import pytest

from agent.domain.errors import ConfigError
from agent.operator.web.access import Access
from tests.conftest import FIGURES, Tell
from tests.operator.web.served import button_on
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.klipper_certificates import make_certificates
from tests.rigs.processes import free_port

MOST_RSS_MIB = 110


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    return home


def _rss_mib(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 2**20


@pytest.mark.slow
def test_the_daemons_page_from_the_first_code_to_its_end(home: AgentHome, record_property: Tell) -> None:
    home.add("[acceptance]\npackagings = { box-s = { inner_mm = [150, 100, 80], stock = 12 } }\n")
    authority = make_certificates(home.folder)
    listen = f"127.0.0.1:{free_port()}"
    options = {"listen": listen, "certificate_file": home.folder / "server.pem", "key_file": home.folder / "server.key"}
    arguments = [argument for name, value in options.items() for argument in ("--set", f"web.{name}={value}")]
    with home.running(*arguments, fresh=True) as agent:
        (told,) = wait_until(lambda: home.logged("nobody_has_signed_in_yet"), "the code is told")
        before = _rss_mib(agent.pid)
        trusting = ssl.create_default_context(cafile=authority)
        with httpx.Client(base_url=f"https://{listen}", verify=trusting, headers={"accept": "text/html"}, timeout=60) as phone:
            form, fields = button_on(phone.get("/sign-in").text, "Sign in")
            answer = phone.post(form.action, data={**fields, "code": told["pairing_code"], "name": "Ada Example"})
            assert answer.status_code == 303
            assert "Secure" in answer.headers["set-cookie"]
            assert [cookie.name for cookie in phone.cookies.jar] == ["__Host-intagly"]
            page = phone.get("/")
            assert "strict-transport-security" in page.headers
            assert "12 left" in phone.get("/supplies").text
            mark = page.text.partition('data-mark="')[2].partition('"')[0]
            with phone.stream("GET", "/live", params={"mark": mark}) as stream:
                lines = stream.iter_lines()
                assert next(lines).startswith("retry")
                form, fields = button_on(phone.get("/printers").text, "The bed of mk3s is clear")
                phone.post(form.action, data=fields)
                assert "event: changed" in iter(lines)
                after = _rss_mib(agent.pid)
                assert agent.stop() == 0
    record_property(FIGURES, f"daemon: {before:.0f} MiB RSS before a visitor, {after:.0f} MiB with the page open")
    assert after <= MOST_RSS_MIB
    assert home.logged("page_not_served") == []
    with home.desk() as desk:
        assert desk.ledger.beds()["mk3s"].said_by == "Ada Example"
        assert [(stock.name, stock.configured) for stock in desk.ledger.stock()] == [("box-s", 12)], "counted from when it was first read"


def test_a_certificate_that_is_none_stops_the_start(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    good, key, none = tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "none.pem"
    Access("127.0.0.1", 1, certificate=good, key=key).check_certificate()
    none.write_text("no certificate")
    for certificate, its_key in ((none, key), (good, none), (good, tmp_path / "nowhere"), (tmp_path / "ca.pem", key)):
        with pytest.raises(ConfigError, match="cannot be used"):
            Access("127.0.0.1", 1, certificate=certificate, key=its_key).check_certificate()
