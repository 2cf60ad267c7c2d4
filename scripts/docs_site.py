"""Fit the repository's Markdown into the documentation site (hooks of MkDocs).

The changelog and the guide for contributors are at the top of the repository, where everybody looks for
them: the site has a page of each. Links that lead to them on GitHub, or to an example DAG, lead to the
site's page of it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

CHECKOUT = Path(__file__).parent.parent
#: Files at the top of the repository, and the pages of the site that show them.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "threat_model.md",
}
_LINK = re.compile(r"(?<=\]\()(\.\./)+([\w./-]+)")
_FETCHES = re.compile(r'<(?:script|img|iframe|source)[^>]*\ssrc="(https?:)?//|<link[^>]*\shref="(https?:)?//')
_FROM_THE_TOP = re.compile(r"(?<=\]\()docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are at the top of the repository."""
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        text = _FROM_THE_TOP.sub("", (CHECKOUT / name).read_text())
        files.append(File.generated(config, PAGES[name], content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Let links that leave ``docs/`` lead to the page of the site that shows what is there."""
    here = posixpath.dirname(page.file.src_uri)

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, match[0]))
        if target in PAGES:
            return posixpath.relpath(PAGES[target], here or ".")
        folder, name = posixpath.split(target)
        if folder == "dags_examples":
            return posixpath.relpath("examples.md", here or ".") + f"#{Path(name).stem}"
        if not target.startswith("docs/"):  # MkDocs says nothing of links that leave its folder
            raise PluginError(f"{page.file.src_uri} links to {target}, which is not on the site")
        return match[0]

    return _LINK.sub(lead, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Refuse a page that would fetch something from elsewhere when it is read."""
    found = _FETCHES.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri} fetches something from elsewhere: {found[0]}")
    return output
