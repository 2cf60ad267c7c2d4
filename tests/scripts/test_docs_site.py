"""Links of the documentation lead to pages of the site, or the site is not built."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from scripts.docs_site import on_page_markdown


def shown(markdown, page="soak.md"):
    return on_page_markdown(markdown, SimpleNamespace(file=SimpleNamespace(src_uri=page)), None, None)


@pytest.mark.parametrize(
    ("page", "link", "leads_to"),
    [
        ("soak.md", "(../CHANGELOG.md)", "(changelog.md)"),
        ("reference/hooks.md", "(../../SECURITY.md)", "(../threat_model.md)"),
        ("soak.md", "(../dags_examples/first.py)", "(examples.md#first)"),
        ("reference/hooks.md", "(../waiting.md#what-it-costs)", "(../waiting.md#what-it-costs)"),
    ],
)
def test_a_link_leads_to_the_page_of_the_site(page, link, leads_to):
    assert shown(f"[here]{link}", page) == f"[here]{leads_to}"


def test_a_link_to_what_is_not_on_the_site_is_refused():
    with pytest.raises(PluginError, match=r"soak\.md links to tests/soak/flat\.py"):
        shown("[here](../tests/soak/flat.py)")
