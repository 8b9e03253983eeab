"""The demo's result as one HTML page that needs nothing else: made of the document alone, which it also carries as JSON."""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from scripts.demo_parts.chart import chart, seconds
from scripts.demo_parts.markup import element, number
from scripts.demo_parts.story import Document, summed
from scripts.demo_parts.tables import buckets_table, hours_table, points_table

STYLE: Final = Path(__file__).with_name("page.css")

_HEAD: Final = '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
_HATCH: Final = (
    '<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><path d="M0 0V7"/></pattern></defs></svg>'
)
_KEY: Final = {
    '<path class="expected" d="M4 7H22"/>': "expected, by the oracle's dicts and loops",
    '<path class="stored" d="M0 7H26"/>': "stored",
    '<path class="wrong" d="M13 2.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z"/>': "stored and wrong",
    '<rect class="missing" width="26" height="14"/>': "missing",
    '<rect class="affected" width="26" height="14"/>': "affected period",
}


def page(document: Document) -> str:
    """The whole page."""
    style = element("style", "\n", STYLE.read_text(encoding="utf-8"))
    head = element("head", "\n", _HEAD, element("title", headline(document)), "\n", style)
    parts = element("header", *_top(document)), element("main", *_sections(document)), _json(document)
    body = element("body", _HATCH, "\n", "\n".join(parts), "\n")
    return "<!doctype html>\n" + element("html", "\n", head, "\n", body, "\n", lang="en") + "\n"


def _sections(document: Document) -> Iterator[str]:
    if document["series"]:
        first, *others = document["series"]
        yield _section("A damaged series", _figure(document, first), hours_table(first), *(_folded(document, one) for one in others))
    yield _section("All buckets", buckets_table(document))
    yield _section("All points", points_table(document["run"]))
    yield _section("Look further", *_commands(document))


def _section(title: str, *content: str) -> str:
    return element("section", "\n", element("h2", title), "\n", *content) + "\n"


def headline(document: Document) -> str:
    """What the page says first."""
    before, after = summed(document["before"]), summed(document["after"])
    if document["differences"]:
        different = after["wrong"] + after["missing"] + after["extra"]
        return f"Not repaired: {different:,} buckets differ" if different else "Repaired, but not as promised"
    return f"Repaired: {before['missing']:,} missing and {before['wrong']:,} wrong rollups"


def _top(document: Document) -> Iterator[str]:
    incident, run = document["incident"], document["run"]
    start, restart, end = (incident[name][11:16] for name in ("start", "restart", "end"))
    yield element("h1", headline(document))
    yield element(
        "p",
        f"A demo on real measurements. Two of three shards of a hot tier lost points on {incident['start'][:10]}: one was down from {start} to {restart} UTC,",
        f" then both kept one minute in three until {end}. The archive still had every posting.",
    )
    yield _verdict(document)
    yield _facts(document)
    yield element("p", f"Run {escape(run['run_id'])}, generation {run['generation']}; archive of {escape(document['archive']['period'])}.", class_="soft")


def _verdict(document: Document) -> str:
    if document["differences"]:
        told = element("pre", escape("\n".join(document["differences"])))
        return element("div", element("strong", "✗ The store is not as expected."), told, class_="verdict failed", role="alert")
    right, untouched = number(summed(document["after"])["right"]), number(document["untouched"])
    said = f", in every exported column, bit for bit. The {untouched} outside the affected hours were not touched."
    return element("p", element("strong", f"✓ All {right} buckets are as expected"), said, class_="verdict")


def _facts(document: Document) -> str:
    run, before = document["run"], summed(document["before"])
    points = sum(of_type.get("points", 0) for of_type in run["points"].values())
    done = ("", "") if document["differences"] else ("all added", "all changed")
    facts = (
        ("missing before", number(before["missing"]), done[0]),
        ("wrong before", number(before["wrong"]), done[1]),
        ("points read again", number(points), f"from {number(run['objects'])} of {number(document['archive']['objects'])} objects"),
        ("the repair took", f"{number(run['duration_s'], '.1f')} s", "from the plan to the report"),
    )
    return element("dl", *(element("div", element("dt", name), element("dd", value, element("small", note))) for name, value, note in facts), class_="facts")


def _figure(document: Document, series: Document) -> str:
    affected = seconds(document["incident"]["start"]), seconds(document["incident"]["end"])
    marks = (element("svg", mark, viewBox="0 0 26 14", aria_hidden="true") + meaning for mark, meaning in _KEY.items())
    key = element("ul", *(element("li", one) for one in marks), class_="key")
    drawn = element("div", chart(series["buckets"]["5m"], 300, affected, series["text"]), class_="scroll", role="region", aria_label="chart", tabindex=0)
    about = ": averages of 5 minutes, and below them how many minutes each is made of. Times are UTC; point at a bucket for its numbers."
    return element("figure", element("figcaption", element("strong", escape(series["text"])), about), key, drawn)


def _folded(document: Document, series: Document) -> str:
    return element("details", element("summary", escape(series["text"])), _figure(document, series), hours_table(series))


def _commands(document: Document) -> Iterator[str]:
    for title, name in (("What was typed in the project's folder:", "commands"), ("What to try next:", "further")):
        yield element("p", title) + element("pre", escape("\n".join(document[name])))
    report = json.dumps(document["run"], ensure_ascii=False, indent=1)
    yield element("details", element("summary", "The run's JSON"), element("pre", escape(report)))


def _json(document: Document) -> str:
    """The document for programs; `<` is escaped, so that no text in it ends the element."""
    text = json.dumps(document, ensure_ascii=False, indent=1).replace("<", "\\u003c")
    return element("script", "\n", text, "\n", type="application/json", id="demo")
