from __future__ import annotations

from html.parser import HTMLParser

from airflow_provider_codeocean.emulator import Policy, Transitions
from tests.emulator.in_process import expect_status

EVIL = '<script>alert("x")</script>'


class Links(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        assert tag not in {"script", "img", "link", "iframe"}
        if tag == "a":
            self.found.append(dict(attrs)["href"])


async def page(deployment, path: str, status: int = 200) -> str:
    response = await deployment.web.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return response.text


async def test_index_page_links_to_all_pages(deployment):
    asset = await deployment.create_data_asset(name="on the page")
    first = await page(deployment, "")
    assert "on the page" in first
    links = Links(first).found
    assert f"/data-assets/{asset['id']}" in links
    assert any(link.endswith(f"#{deployment.env['CODEOCEAN_COMPUTATION_ID']}") for link in links)
    for link in links:
        await page(deployment, link)


async def test_data_asset_page_shows_metadata_files_and_links(deployment):
    asset = await deployment.capture_results(
        name="the result", description="What came out.", custom_metadata={"score": 7}
    )
    shown = await page(deployment, f"data-assets/{asset['id']}")
    for text in (
        "the result",
        "ready",
        "What came out.",
        "score",
        "units.csv",
        "user@emulator.test",
        "everyone",
        "code/run",
    ):
        assert text in shown
    assert "refresh" not in shown
    links = Links(shown).found
    assert f"/data-assets/{deployment.env['CODEOCEAN_DATA_ASSET_ID']}" in links
    files = [link for link in links if "/storage/" in link]
    assert len(files) == 4
    for link in files:
        assert (await deployment.web.get(link)).status_code == 200


async def test_data_asset_page_of_draft_refreshes(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=3)))
    asset = await deployment.create_data_asset()
    shown = await page(deployment, f"data-assets/{asset['id']}")
    assert "draft" in shown
    assert 'http-equiv="refresh"' in shown
    assert "channels.csv" not in shown


async def test_data_asset_page_shows_failure_transfer_and_lineage(deployment):
    failed = await deployment.create_data_asset(source={"aws": {"bucket": "nowhere"}})
    assert "does not exist" in await page(deployment, f"data-assets/{failed['id']}")
    moved = await deployment.capture_results()
    target = {"target": {"aws": {"bucket": "lab-archive", "prefix": "old"}}}
    expect_status(await deployment.admin.post(f"data_assets/{moved['id']}/transfer", json=target), 204)
    shown = await page(deployment, f"data-assets/{moved['id']}")
    assert "aws: lab-archive/old (external)" in shown
    assert "last transferred" in shown
    deployment.store.capsules.delete(deployment.env["CODEOCEAN_CAPSULE_ID"])
    deployment.store.computations.delete(deployment.env["CODEOCEAN_COMPUTATION_ID"])
    shown = await page(deployment, f"data-assets/{moved['id']}")
    assert deployment.env["CODEOCEAN_COMPUTATION_ID"] in shown
    assert "Run With Parameters" not in await page(deployment, "")


async def test_data_asset_page_links_to_capsule_and_contained_assets(deployment):
    workstation = {
        "id": deployment.env["CODEOCEAN_WORKSTATION_ID"],
        "path": "results",
        "run_script": "code/x",
    }
    result = await deployment.create_data_asset(source={"cloud_workstation": workstation})
    capsule = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"])
    assert (
        f"/capsule/{capsule.slug}/tree" in Links(await page(deployment, f"data-assets/{result['id']}")).found
    )
    body = {"name": "c", "tags": [], "mount": "c", "data_asset_ids": [result["id"]]}
    combined = expect_status(await deployment.user.post("data_assets", json=body), 200)
    path = f"data-assets/{combined['id']}"
    assert f"/data-assets/{result['id']}" in Links(await page(deployment, path)).found
    expect_status(await deployment.user.delete(f"data_assets/{result['id']}"), 204)
    assert result["id"] in await page(deployment, path)


async def test_index_page_shows_computation_of_deleted_capsule(deployment):
    deployment.store.capsules.delete(deployment.env["CODEOCEAN_CAPSULE_ID"])
    assert "Run With Parameters" in await page(deployment, "")


async def test_capsule_page_shows_its_computations(deployment):
    capsule = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"])
    shown = await page(deployment, f"capsule/{capsule.slug}/tree")
    assert f'id="{deployment.env["CODEOCEAN_COMPUTATION_ID"]}"' in shown
    for text in (capsule.name, "succeeded", "running", "units.csv", "1.0"):
        assert text in shown
    assert "refresh" not in shown


async def test_capsule_page_with_running_computation_refreshes(deployment):
    slow = deployment.env["CODEOCEAN_SLOW_CAPSULE_ID"]
    expect_status(await deployment.user.post("computations", json={"capsule_id": slow}), 200)
    shown = await page(deployment, f"capsule/{deployment.store.capsules.get(slow).slug}/tree")
    assert 'http-equiv="refresh"' in shown


async def test_page_of_unknown_id_returns_404(deployment):
    assert "There is no data asset &lt;b&gt;" in await page(deployment, "data-assets/<b>", 404)
    assert "There is no capsule 0" in await page(deployment, "capsule/0/tree", 404)


async def test_pages_escape_user_input(deployment):
    permissions = {"groups": [{"group": "ephys-lab", "role": "viewer"}]}
    asset = await deployment.create_data_asset(
        name=EVIL, description=EVIL, mount=EVIL, tags=[EVIL], custom_metadata={"subject id": EVIL}
    )
    expect_status(await deployment.user.post(f"data_assets/{asset['id']}/permissions", json=permissions), 204)
    computation = deployment.env["CODEOCEAN_COMPUTATION_ID"]
    expect_status(await deployment.user.patch(f"computations/{computation}", params={"name": EVIL}), 204)
    capsule = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"])
    for path in ("", f"data-assets/{asset['id']}", f"capsule/{capsule.slug}/tree"):
        shown = await page(deployment, path)
        assert "&lt;script&gt;" in shown
        assert "<script" not in shown
