"""What a person meets in the UI of Airflow 3: the connection's form and test, links, assets, and events."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, Route, expect

if TYPE_CHECKING:
    from scripts.emulator_process import EmulatorProcess
    from scripts.real_airflow import RealAirflow

pytestmark = pytest.mark.skipif(version("apache-airflow").startswith("2."), reason="for Airflow 3")


def test_connection_form_shows_the_provider_fields(page: Page, airflow: RealAirflow, screenshot):
    page.goto(f"{airflow.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator('input[name="connection_id"]').fill("code_ocean")
    form.get_by_role("combobox").click()
    page.get_by_role("option", name="Code Ocean", exact=True).click()

    for label in ("Description", "Host", "Access token"):
        expect(form.get_by_text(label, exact=True)).to_be_visible()
    for label in ("Login", "Port", "Schema", "Password"):
        expect(form.get_by_text(label, exact=True)).to_have_count(0)
    expect(form.locator('input[name="password"]')).to_have_attribute("type", "password")
    screenshot(page, "connection_form_standard_fields")

    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for label in ("Verify TLS", "Timeout", "Proxy"):
        expect(form.get_by_text(label, exact=True)).to_be_visible()
    for name in ("verify", "timeout", "proxy"):
        expect(form.locator(f'input[name="element_{name}"]')).to_be_editable()


def send_without_port(route: Route) -> None:
    body = route.request.post_data_json
    assert body.pop("port") == 0
    route.continue_(post_data=json.dumps(body))


def test_connection_saved_then_tested_succeeds(page: Page, airflow: RealAirflow, emulator: EmulatorProcess):
    page.goto(f"{airflow.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator('input[name="connection_id"]').fill("saved_and_tested")
    form.get_by_role("combobox").click()
    page.get_by_role("option", name="Code Ocean", exact=True).click()
    form.locator('input[name="host"]').fill(emulator.url)
    form.locator('input[name="password"]').fill(emulator.token)
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    form.locator('input[name="element_timeout"]').fill("15")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    expect(page.get_by_role("cell", name=emulator.url)).to_be_visible()

    # Airflow 3.3.2 sends a missing port as 0, and then refuses the test because the stored port differs
    # (apache/airflow pull request 73298). So the request is mended on its way; the rest is the real thing.
    page.route("**/connections/test", send_without_port)
    with page.expect_response("**/connections/test") as answer:
        page.get_by_role("button", name="Test Connection").click()
    assert answer.value.json()["status"] is True, answer.value.text()
    assert emulator.token not in answer.value.text()
    expect(page.get_by_text("Test Connection Successful")).to_be_visible()


def test_task_link_opens_the_data_asset_page(
    page: Page, airflow: RealAirflow, emulator: EmulatorProcess, screenshot
):
    run_id = airflow.trigger("capture_result", conf={"computation_id": emulator.computation_id})
    airflow.wait_for_task("capture_result", run_id, "capture", "deferred", timeout=60)
    asset_id = airflow.xcom("capture_result", run_id, "capture", "data_asset_id")
    link = page.get_by_role("link", name="Open in Code Ocean")

    page.goto(f"{airflow.url}/dags/capture_result/runs/{run_id}/tasks/capture/details")
    expect(link).to_have_attribute("href", f"{emulator.url}/data-assets/{asset_id}")
    screenshot(page, "link_while_it_waits")

    emulator.call_api("POST", "/_emulator/advance", {"seconds": 60})
    assert airflow.wait_for_run("capture_result", run_id, timeout=60).state == "success"
    page.reload()
    expect(page.get_by_text("Success").first).to_be_visible()
    expect(link).to_have_attribute("href", f"{emulator.url}/data-assets/{asset_id}")
    screenshot(page, "link_after_success")

    with page.context.expect_page() as opened:
        link.click()
    asset_page = opened.value
    expect(asset_page).to_have_url(f"{emulator.url}/data-assets/{asset_id}")
    expect(asset_page.get_by_text(re.compile("results_")).first).to_be_visible()
    screenshot(asset_page, "data_asset_page")


def test_asset_graph_shows_capsule_and_results(
    page: Page, airflow: RealAirflow, emulator: EmulatorProcess, screenshot
):
    capsule_id = emulator.variables["CODEOCEAN_CAPSULE_ID"]
    run_id = airflow.trigger("publish_results", conf={"capsule_id": capsule_id})
    for task in ("sort.run", "sort.capture"):
        airflow.wait_for_task("publish_results", run_id, task, "deferred", timeout=60)
        emulator.call_api("POST", "/_emulator/advance", {"seconds": 600})
    assert airflow.wait_for_run("publish_results", run_id, timeout=60).state == "success"
    asset_id = airflow.xcom("publish_results", run_id, "sort.capture", "data_asset_id")
    node = page.locator(".react-flow__node")

    page.goto(f"{airflow.url}/assets")
    page.get_by_role("link", name="sorted_results", exact=True).click()
    expect(node.filter(has_text="publish_results")).to_be_visible()
    expect(node.filter(has_text="use_new_results")).to_be_visible()
    expect(node.filter(has_text=f"/data_assets/{asset_id}")).to_be_visible()
    expect(page.get_by_text("1 Asset Event", exact=True)).to_be_visible()
    expect(page.get_by_test_id("card-list").get_by_role("link", name="use_new_results")).to_be_visible()
    screenshot(page, "asset_graph_of_dags")

    page.get_by_role("button", name="Task Dependencies").click()
    expect(node.filter(has_text="codeocean://codeocean.example.com/capsules/")).to_be_visible()
    expect(node.filter(has_text="sort.capture")).to_be_visible()
    expect(node.filter(has_text="sorted_results")).to_be_visible()
    expect(page.locator(".react-flow__edge")).to_have_count(2)
    page.locator(".react-flow__controls-fitview").click()
    screenshot(page, "asset_graph_of_tasks")


def test_dag_run_triggered_by_event_shows_the_event(
    page: Page, airflow: RealAirflow, emulator: EmulatorProcess, screenshot
):
    dag_id = "capture_on_completion"
    airflow.wait_for_dag(dag_id)
    page.goto(f"{airflow.url}/dags/{dag_id}")
    page.get_by_test_id("toggle-pause").click()  # nobody triggers it

    runs = airflow.wait_until(
        lambda: airflow.release.call_api("GET", f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"],
        description=f"a run of {dag_id}",
        timeout=90,
    )
    run_id = runs[0]["dag_run_id"]
    airflow.wait_for_task(dag_id, run_id, "claim", "success", timeout=60)
    claimed = airflow.xcom(dag_id, run_id, "claim")
    assert emulator.computation_id in {fields["computation_id"] for fields in claimed}
    for index in range(len(claimed)):
        airflow.wait_until(
            lambda index=index: airflow.xcom(dag_id, run_id, "computation.capture", "data_asset_id", index),
            description=f"the data asset of computation {index}",
            timeout=60,
        )
    emulator.call_api("POST", "/_emulator/advance", {"seconds": 600})
    assert airflow.wait_for_run(dag_id, run_id, timeout=60).state == "success"

    page.goto(f"{airflow.url}/dags/{dag_id}/runs/{run_id}")
    expect(page.get_by_text("Asset Triggered", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="computation.share").first).to_be_visible()
    screenshot(page, "run_that_an_event_started")
    page.get_by_role("link", name="Asset Events").click()
    expect(page.get_by_text("1 Asset Event", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=f"finished computations of {dag_id}")).to_be_visible()
