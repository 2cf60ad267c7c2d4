"""The pieces that pages are made of: small, clean HTML in which nothing that users write becomes markup."""

from collections.abc import Iterable
from html import escape
from typing import Any

from fastapi.responses import HTMLResponse

REFRESH_SECONDS = 2
"""After how long a page looks again while something goes on."""

STYLE = """
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
    """Text that is HTML already."""

    __slots__ = ()


NOTHING = Markup("")


def html(value: Any) -> Markup:
    """Make HTML of a value.

    :param value: markup, which stays as it is, or anything else, which is shown as text.
    :returns: the HTML.
    """
    if isinstance(value, Markup):
        return value
    return Markup(escape(", ".join(map(str, value)) if isinstance(value, list) else str(value)))


def page(title: str, *parts: Markup, refresh: bool = False, status: int = 200) -> HTMLResponse:
    """Make a page.

    :param title: its title.
    :param *parts: what is on it.
    :param refresh: it looks again by itself.
    :param status: HTTP status.
    :returns: the answer.
    """
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html(title)}</title>{again}'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f'<header><a href="/">Code Ocean emulator</a></header><main>{"".join(parts)}</main></body></html>',
        status,
    )


def heading(text: str, badge: Markup = NOTHING) -> Markup:
    """Make the heading of a page.

    :param text: what it says.
    :param badge: what stands beside it.
    :returns: the HTML.
    """
    return Markup(f"<h1>{html(text)} {badge}</h1>")


def section(title: str, body: Markup, *, anchor: str = "") -> Markup:
    """Make a part of a page.

    :param title: its title.
    :param body: what it holds; without anything there is no section.
    :param anchor: what links to it name.
    :returns: the HTML.
    """
    if not body:
        return NOTHING
    return Markup(f'<section id="{html(anchor)}"><h2>{html(title)}</h2>{body}</section>')


def table(rows: Iterable[Iterable[Any]], headings: Iterable[str] = ()) -> Markup:
    """Make a table.

    :param rows: the cells of each row, the first of which names it.
    :param headings: headings of the columns.
    :returns: the HTML; nothing if there are no rows.
    """
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td>{html(cell)}</td>" for cell in others)
        lines.append(f"<tr><th>{html(first)}</th>{cells}</tr>")
    cells = "".join(f"<th>{html(heading)}</th>" for heading in headings)
    head = f"<thead><tr>{cells}</tr></thead>" if cells else ""
    return Markup(f"<table>{head}{''.join(lines)}</table>") if lines else NOTHING


def badge(state: str) -> Markup:
    """Make a badge.

    :param state: what it says, which gives it its colour, too.
    :returns: the HTML.
    """
    return Markup(f'<span class="badge {html(state)}">{html(state)}</span>')


def code(text: str) -> Markup:
    """Make text that one click selects, such as an id to copy.

    :param text: the text.
    :returns: the HTML.
    """
    return Markup(f"<code>{html(text)}</code>")


def tags(names: list[str]) -> Markup:
    """Make tags.

    :param names: what they say.
    :returns: the HTML.
    """
    return Markup("".join(f'<span class="tag">{html(name)}</span>' for name in names))


def link(href: str, text: str) -> Markup:
    """Make a link.

    :param href: where it leads.
    :param text: what it says.
    :returns: the HTML.
    """
    return Markup(f'<a href="{html(href)}">{html(text)}</a>')
