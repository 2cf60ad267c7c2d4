"""A real Airflow with its UI, and a browser to look at it.

The browser is the system's Chromium (on the PATH, or where ``CHROMIUM`` says), driven by Playwright. Its
screenshots are left in ``.airflow/ui/<release>/`` for people to look at.
"""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from scripts.emulator_process import EmulatorProcess
from scripts.real_airflow import RealAirflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
SCREENSHOTS = CHECKOUT / ".airflow" / "ui" / version("apache-airflow")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ui)
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which(os.environ.get("CHROMIUM") or "chromium")
    if found is None:
        pytest.fail("no Chromium: install it (Debian: apt-get install chromium) or set CHROMIUM to its path")
    return found


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """An emulator whose clock stands still: work ends when a test moves the clock."""
    folder = tmp_path_factory.mktemp("emulator")
    config = folder / "config.json"
    config.write_text('{"clock": "manual"}')
    with EmulatorProcess(folder, arguments=["--config", str(config)]) as running:
        yield running


@pytest.fixture(scope="session")
def airflow(
    chromium: str, emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    with RealAirflow(
        tmp_path_factory.mktemp("airflow"),
        dags_folder=CHECKOUT / "dags_examples",
        connections={"codeocean_default": emulator.connection},
        env={
            "CODEOCEAN_WATCHED_CAPSULE_ID": emulator.variables["CODEOCEAN_CAPSULE_ID"],
            "CODEOCEAN_GROUP": emulator.variables["CODEOCEAN_GROUP"],
        },
        ui=True,
        reparse_unchanged_dags=True,
    ) as running:
        yield running


@pytest.fixture(scope="session")
def pages(chromium: str) -> Iterator[Callable[[], Page]]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=15_000)
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield lambda: browser.new_page(viewport={"width": 1280, "height": 960}, locale="en-GB")
        browser.close()


@pytest.fixture(scope="session")
def screenshot() -> Callable[[Page, str], None]:
    """``screenshot(page, name)`` keeps what a page shows in ``.airflow/ui/<release>/<name>.png``."""
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir(parents=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return take


@pytest.fixture
def page(
    pages: Callable[[], Page], screenshot: Callable[[Page, str], None], request: pytest.FixtureRequest
) -> Iterator[Page]:
    """A fresh page; what it shows at the end of the test is kept under the test's name."""
    page = pages()
    page.set_default_timeout(30_000)
    yield page
    screenshot(page, request.node.name.removeprefix("test_"))
    page.close()
