"""One browser, one shop and one signed-in device for all tests here; a page of its own for each."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import DESK, PHONE, chromium, patient
from tests.browser.phone import Phone
from tests.browser.radio import Radio
from tests.browser.shop import PERSON, Shop, open_shop

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before what is not wanted is taken out, by these marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(240))
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running
    # What is left of Playwright's greenlets goes now. Where one goes while Python 3.11 parses a file, as pytest does to show a failure, the
    # parser's count of its depth is off (SystemError, "AST constructor recursion depth mismatch", CPython's issue 106905).
    gc.collect()


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


@pytest.fixture(scope="package")
def signed_in(browser: Browser, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cookies of a person who has come by the first code."""
    kept = tmp_path_factory.mktemp("browser") / "cookies.json"
    context = patient(browser.new_context(**PHONE))
    Phone(context.new_page(), shop.url).sign_in(shop.first_code, PERSON)
    context.storage_state(path=kept)
    context.close()
    return kept


@pytest.fixture
def phone(browser: Browser, shop: Shop, signed_in: Path) -> Iterator[Phone]:
    context = patient(browser.new_context(**PHONE, storage_state=signed_in))
    yield Phone(context.new_page(), shop.url)
    context.close()


@pytest.fixture
def bare_phone(browser: Browser, shop: Shop, signed_in: Path) -> Iterator[Phone]:
    """JavaScript failed to load."""
    context = patient(browser.new_context(**PHONE, storage_state=signed_in, java_script_enabled=False))
    yield Phone(context.new_page(), shop.url)
    context.close()


@pytest.fixture
def desk_screen(browser: Browser, shop: Shop, signed_in: Path) -> Iterator[Phone]:
    context = patient(browser.new_context(**DESK, storage_state=signed_in))
    yield Phone(context.new_page(), shop.url)
    context.close()


@pytest.fixture
def radio(shop: Shop) -> Iterator[Radio]:
    with Radio(int(shop.url.rpartition(":")[2])) as switched_on:
        yield switched_on


@pytest.fixture
def far_phone(browser: Browser, shop: Shop, radio: Radio, signed_in: Path) -> Iterator[Phone]:  # noqa: ARG001 (see below)
    """Reaches the daemon by radio only. Signed in by a session of its own, which may end; the first code is the first device's."""
    context = patient(browser.new_context(**PHONE))
    phone = Phone(context.new_page(), radio.url)
    phone.sign_in(shop.code())
    yield phone
    context.close()
