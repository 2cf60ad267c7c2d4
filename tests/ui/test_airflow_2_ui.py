"""What a person meets in the UI of Airflow 2: the connection's form and test, and the link on the task."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from scripts.emulator_process import EmulatorProcess
    from scripts.real_airflow import RealAirflow

pytestmark = pytest.mark.skipif(not version("apache-airflow").startswith("2."), reason="for Airflow 2")


def test_connection_form_shows_the_provider_fields(page: Page, airflow: RealAirflow):
    page.goto(f"{airflow.url}/connection/add")
    page.locator("#conn_type").select_option("codeocean", force=True)  # hidden behind a fancier widget
    for label in ("Host", "Access token", "Verify TLS", "Timeout", "Proxy"):
        expect(page.locator("label:visible", has_text=label)).to_have_count(1)
    for name in ("login", "port", "schema"):
        expect(page.locator(f"#{name}")).to_be_hidden()
    expect(page.locator("#password")).to_have_attribute("type", "password")


def test_connection_test_button_reports_success(page: Page, airflow: RealAirflow, emulator: EmulatorProcess):
    page.goto(f"{airflow.url}/connection/add")
    page.locator("#conn_type").select_option("codeocean", force=True)
    page.locator("#conn_id").fill("code_ocean")
    page.locator("#host").fill(emulator.url)
    page.locator("#password").fill(emulator.token)
    page.locator("#extra__codeocean__timeout").fill("15")
    with page.expect_response("**/connections/test", timeout=15_000) as answer:
        page.locator("#test-connection").click()
    assert answer.value.json()["status"] is True, answer.value.text()
    expect(page.locator(".alert-success")).to_be_visible()


def test_task_link_while_deferred_and_after_success_is_shown(
    page: Page, airflow: RealAirflow, emulator: EmulatorProcess, screenshot
):
    run_id = airflow.trigger("capture_result", conf={"computation_id": emulator.computation_id})
    airflow.wait_for_task("capture_result", run_id, "capture", "deferred", timeout=60)
    address = (
        f"{emulator.url}/data-assets/{airflow.xcom('capture_result', run_id, 'capture', 'data_asset_id')}"
    )
    link = page.get_by_role("link", name="Open in Code Ocean")

    page.goto(f"{airflow.url}/dags/capture_result/grid?dag_run_id={run_id}&task_id=capture")
    expect(link).to_have_attribute("href", address)
    screenshot(page, "link_while_it_waits")

    emulator.call_api("POST", "/_emulator/advance", {"seconds": 60})
    assert airflow.wait_for_run("capture_result", run_id, timeout=60).state == "success"
    page.reload()
    expect(link).to_have_attribute("href", address)
