from __future__ import annotations

from html.parser import HTMLParser

from airflow_provider_codeocean.emulator import Policy, Transitions
from tests.emulator.helpers import expect

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


async def test_the_first_page_leads_everywhere(deployment):
    asset = await deployment.create(name="on the page")
    first = await page(deployment, "")
    assert "on the page" in first
    links = Links(first).found
    assert f"/data-assets/{asset['id']}" in links
    assert any(link.endswith(f"#{deployment.env['CODEOCEAN_COMPUTATION_ID']}") for link in links)
    for link in links:
        await page(deployment, link)


async def test_a_data_asset_shows_what_it_is(deployment):
    asset = await deployment.capture(
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


async def test_a_draft_looks_again_by_itself(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=3)))
    asset = await deployment.create()
    shown = await page(deployment, f"data-assets/{asset['id']}")
    assert "draft" in shown
    assert 'http-equiv="refresh"' in shown
    assert "channels.csv" not in shown


async def test_a_failure_a_transfer_and_a_lineage_are_shown(deployment):
    failed = await deployment.create(source={"aws": {"bucket": "nowhere"}})
    assert "does not exist" in await page(deployment, f"data-assets/{failed['id']}")
    moved = await deployment.capture()
    target = {"target": {"aws": {"bucket": "lab-archive", "prefix": "old"}}}
    expect(await deployment.admin.post(f"data_assets/{moved['id']}/transfer", json=target), 204)
    shown = await page(deployment, f"data-assets/{moved['id']}")
    assert "aws: lab-archive/old (external)" in shown
    assert "last transferred" in shown
    deployment.store.capsules.delete(deployment.env["CODEOCEAN_CAPSULE_ID"])
    deployment.store.computations.delete(deployment.env["CODEOCEAN_COMPUTATION_ID"])
    shown = await page(deployment, f"data-assets/{moved['id']}")
    assert deployment.env["CODEOCEAN_COMPUTATION_ID"] in shown
    assert "Run With Parameters" not in await page(deployment, "")


async def test_a_workstations_result_leads_to_its_capsule_and_a_combined_asset_to_its_parts(deployment):
    workstation = {
        "id": deployment.env["CODEOCEAN_WORKSTATION_ID"],
        "path": "results",
        "run_script": "code/x",
    }
    result = await deployment.create(source={"cloud_workstation": workstation})
    capsule = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"])
    assert (
        f"/capsule/{capsule.slug}/tree" in Links(await page(deployment, f"data-assets/{result['id']}")).found
    )
    body = {"name": "c", "tags": [], "mount": "c", "data_asset_ids": [result["id"]]}
    combined = expect(await deployment.user.post("data_assets", json=body), 200)
    path = f"data-assets/{combined['id']}"
    assert f"/data-assets/{result['id']}" in Links(await page(deployment, path)).found
    expect(await deployment.user.delete(f"data_assets/{result['id']}"), 204)
    assert result["id"] in await page(deployment, path)


async def test_a_run_whose_capsule_is_gone_is_shown_without_a_link(deployment):
    deployment.store.capsules.delete(deployment.env["CODEOCEAN_CAPSULE_ID"])
    assert "Run With Parameters" in await page(deployment, "")


async def test_a_capsule_shows_its_runs(deployment):
    capsule = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"])
    shown = await page(deployment, f"capsule/{capsule.slug}/tree")
    assert f'id="{deployment.env["CODEOCEAN_COMPUTATION_ID"]}"' in shown
    for text in (capsule.name, "succeeded", "running", "units.csv", "1.0"):
        assert text in shown
    assert "refresh" not in shown


async def test_a_capsule_that_runs_looks_again_by_itself(deployment):
    slow = deployment.env["CODEOCEAN_SLOW_CAPSULE_ID"]
    expect(await deployment.user.post("computations", json={"capsule_id": slow}), 200)
    shown = await page(deployment, f"capsule/{deployment.store.capsules.get(slow).slug}/tree")
    assert 'http-equiv="refresh"' in shown


async def test_what_is_not_there_is_a_page_too(deployment):
    assert "There is no data asset &lt;b&gt;" in await page(deployment, "data-assets/<b>", 404)
    assert "There is no capsule 0" in await page(deployment, "capsule/0/tree", 404)


async def test_nothing_that_users_write_becomes_markup(deployment):
    permissions = {"groups": [{"group": "ephys-lab", "role": "viewer"}]}
    asset = await deployment.create(
        name=EVIL, description=EVIL, mount=EVIL, tags=[EVIL], custom_metadata={"subject id": EVIL}
    )
    expect(await deployment.user.post(f"data_assets/{asset['id']}/permissions", json=permissions), 204)
    computation = deployment.env["CODEOCEAN_COMPUTATION_ID"]
    expect(await deployment.user.patch(f"computations/{computation}", params={"name": EVIL}), 204)
    capsule = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"])
    for path in ("", f"data-assets/{asset['id']}", f"capsule/{capsule.slug}/tree"):
        shown = await page(deployment, path)
        assert "&lt;script&gt;" in shown
        assert "<script" not in shown
