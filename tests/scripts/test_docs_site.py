"""Links of the documentation lead to pages of the site, or the site is not built."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mkdocs.config import load_config
from mkdocs.exceptions import PluginError

from scripts.docs_site import CHECKOUT, on_page_markdown


def shown(markdown, page="soak.md"):
    return on_page_markdown(markdown, SimpleNamespace(file=SimpleNamespace(src_uri=page)), None, None)


@pytest.mark.parametrize(
    ("page", "link", "leads_to"),
    [
        ("soak.md", "(../CHANGELOG.md)", "(changelog.md)"),
        ("reference/hooks.md", "(../../SECURITY.md)", "(../threat_model.md)"),
        ("soak.md", "(../dags_examples/first.py)", "(examples.md#first)"),
        ("reference/hooks.md", "(../waiting.md#cost)", "(../waiting.md#cost)"),
    ],
)
def test_link_to_a_page_is_rewritten_for_the_site(page, link, leads_to):
    assert shown(f"[here]{link}", page) == f"[here]{leads_to}"


def test_link_to_a_file_outside_the_site_is_rejected():
    with pytest.raises(PluginError, match=r"soak\.md links to tests/soak/flat\.py"):
        shown("[here](../tests/soak/flat.py)")


def test_search_from_disk_loads_nothing_from_other_hosts():
    """The plugin ``offline`` adds an address unless a polyfill of that name is configured."""
    (polyfill,) = load_config(str(CHECKOUT / "mkdocs.yml")).extra["polyfills"]
    assert "iframe-worker" in polyfill
    assert (CHECKOUT / "docs" / polyfill).exists()
