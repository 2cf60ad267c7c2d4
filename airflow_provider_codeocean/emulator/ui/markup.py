"""HTML building blocks of the pages. Text from users is always escaped."""

from collections.abc import Iterable
from html import escape
from typing import Any

from fastapi.responses import HTMLResponse

REFRESH_SECONDS = 2
"""Seconds between page reloads while work is in progress."""

STYLESHEET = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --link: #1f6feb; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
header { border-bottom: 1px solid var(--line); padding-bottom: .5rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } tr { border-bottom: 1px solid var(--soft); }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; overflow-wrap: anywhere; }
th { font-weight: 500; color: #888; width: 18rem; }
.badge, .tag { font-size: .85rem; padding: .1rem .7rem; white-space: nowrap; }
.badge { border-radius: 1rem; background: var(--soft); }
.ready, .succeeded { background: #2da44e33; } .failed, .stopped { background: #cf222e33; }
.draft, .running, .initializing, .finalizing { background: #bf870033; }
code { user-select: all; font-size: .85rem; } thead th { width: auto; }
.tag { border: 1px solid var(--line); border-radius: .3rem; margin-right: .3rem; }
"""


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


EMPTY = Markup("")


def to_html(value: Any) -> Markup:
    """Convert a value to HTML.

    :param value: markup, which is returned unchanged, or any other value, which is escaped.
    :returns: the HTML.
    """
    if isinstance(value, Markup):
        return value
    return Markup(escape(", ".join(map(str, value)) if isinstance(value, list) else str(value)))


def page(title: str, *parts: Markup, refresh: bool = False, status: int = 200) -> HTMLResponse:
    """Build a page.

    :param title: the title.
    :param *parts: contents of the page.
    :param refresh: whether the page reloads automatically.
    :param status: HTTP status.
    :returns: the response.
    """
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{to_html(title)}</title>{again}'
        f'<meta name="viewport" content="width=device-width"><style>{STYLESHEET}</style></head><body>'
        f'<header><a href="/">Code Ocean emulator</a></header><main>{"".join(parts)}</main></body></html>',
        status,
    )


def heading(text: str, badge: Markup = EMPTY) -> Markup:
    """Build the heading of a page.

    :param text: the text.
    :param badge: badge next to the title.
    :returns: the HTML.
    """
    return Markup(f"<h1>{to_html(text)} {badge}</h1>")


def section(title: str, body: Markup, *, anchor: str = "") -> Markup:
    """Build a section of a page.

    :param title: the title.
    :param body: the contents; an empty section is omitted.
    :param anchor: name of the anchor for links to the section.
    :returns: the HTML.
    """
    if not body:
        return EMPTY
    return Markup(f'<section id="{to_html(anchor)}"><h2>{to_html(title)}</h2>{body}</section>')


def table(rows: Iterable[Iterable[Any]], headings: Iterable[str] = ()) -> Markup:
    """Build a table.

    :param rows: the cells of each row, starting with its heading.
    :param headings: headings of the columns.
    :returns: the HTML; empty if there are no rows.
    """
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td>{to_html(cell)}</td>" for cell in others)
        lines.append(f"<tr><th>{to_html(first)}</th>{cells}</tr>")
    cells = "".join(f"<th>{to_html(heading)}</th>" for heading in headings)
    head = f"<thead><tr>{cells}</tr></thead>" if cells else ""
    return Markup(f"<table>{head}{''.join(lines)}</table>") if lines else EMPTY


def badge(state: str) -> Markup:
    """Build a badge.

    :param state: the state, which also determines the color.
    :returns: the HTML.
    """
    return Markup(f'<span class="badge {to_html(state)}">{to_html(state)}</span>')


def code(text: str) -> Markup:
    """Build text that one click selects, such as an id to copy.

    :param text: the text.
    :returns: the HTML.
    """
    return Markup(f"<code>{to_html(text)}</code>")


def tags(names: list[str]) -> Markup:
    """Build a list of tags.

    :param names: the tags.
    :returns: the HTML.
    """
    return Markup("".join(f'<span class="tag">{to_html(name)}</span>' for name in names))


def link(href: str, text: str) -> Markup:
    """Build a link.

    :param href: target of the link.
    :param text: the text.
    :returns: the HTML.
    """
    return Markup(f'<a href="{to_html(href)}">{to_html(text)}</a>')
