"""HTML from Python values."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple


class Cell(NamedTuple):
    """A cell of a table: HTML, how it looks, how many columns it takes."""

    content: str
    kind: str = ""
    columns: int = 1


class Group(NamedTuple):
    """Columns of a table that belong together."""

    title: str
    heads: tuple[str, ...]


def element(name: str, *content: str, **attributes: object) -> str:
    """`element("p", "x < y", class_="soft")`: the content is HTML, attributes are text; empty ones are left out."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items() if value != "")
    return f"<{name}{written}>{''.join(content)}</{name}>"


def number(value: float, shape: str = "") -> str:
    """A number as people read it (`shape` is a format), and exactly."""
    return element("data", format(value, shape or ("," if isinstance(value, int) else ",.6g")), value=repr(value))


def table(name: str, caption: str, first: str, groups: Sequence[Group], rows: Sequence[tuple[str, Sequence[Cell]]]) -> str:
    """A table of named rows that scrolls sideways where it is too wide. A row named `all` stands out."""
    body = (element("tr", element("th", title, scope="row"), *_cells(cells, groups), class_="total" if title == "all" else "") + "\n" for title, cells in rows)
    parts = element("caption", caption), element("thead", *_head(first, groups)), element("tbody", "\n", *body)
    return element("div", element("table", "\n", *parts, class_=name), class_="scroll", role="region", aria_label=f"table of {name}", tabindex=0)


def _head(first: str, groups: Sequence[Group]) -> Iterator[str]:
    titled = any(group.title for group in groups)
    corner = element("th", first, scope="col", class_="name", rowspan=2 if titled else "")
    if titled:
        yield element("tr", corner, *(element("th", one.title, colspan=len(one.heads), scope="colgroup", class_="group first") for one in groups))
        corner = ""
    heads = (element("th", head, scope="col", class_="first" if place == 0 else "") for one in groups for place, head in enumerate(one.heads))
    yield element("tr", corner, *heads)


def _cells(cells: Sequence[Cell], groups: Sequence[Group]) -> Iterator[str]:
    edges = {sum(len(group.heads) for group in groups[:place]) for place in range(len(groups))}
    at = 0
    for cell in cells:
        kind = " ".join(filter(None, ("first" if at in edges else "", cell.kind)))
        yield element("td", cell.content, class_=kind, colspan=cell.columns if cell.columns > 1 else "")
        at += cell.columns
