"""Add the repository's top-level Markdown files to the documentation site (hooks of MkDocs).

Links to these files, or to an example DAG, lead to the corresponding page of the site.
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
#: Top-level files of the repository, and their pages on the site.
PAGES_BY_FILE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "threat_model.md",
}
_LINK = re.compile(r"(?<=\]\()(\.\./)+([\w./-]+)")
_EXTERNAL_RESOURCE = re.compile(
    r'<(?:script|img|iframe|source)[^>]*\ssrc="(https?:)?//|<link[^>]*\shref="(https?:)?//'
)
_DOCS_LINK = re.compile(r"(?<=\]\()docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages for the top-level files of the repository."""
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        text = _DOCS_LINK.sub("", (CHECKOUT / name).read_text())
        files.append(File.generated(config, PAGES_BY_FILE[name], content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Convert links that leave ``docs/`` to links within the site."""
    here = posixpath.dirname(page.file.src_uri)

    def convert(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, match[0]))
        if target in PAGES_BY_FILE:
            return posixpath.relpath(PAGES_BY_FILE[target], here or ".")
        folder, name = posixpath.split(target)
        if folder == "dags_examples":
            return posixpath.relpath("examples.md", here or ".") + f"#{Path(name).stem}"
        if not target.startswith("docs/"):  # MkDocs does not check links that leave its folder
            raise PluginError(f"{page.file.src_uri} links to {target}, which is not on the site")
        return match[0]

    return _LINK.sub(convert, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Reject a page that loads resources from other hosts."""
    found = _EXTERNAL_RESOURCE.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri} loads a resource from another host: {found[0]}")
    return output
