"""The demo's result as one HTML page that needs nothing else: made of the document alone, which it also carries as JSON."""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from scripts.demo_parts.chart import chart, seconds
from scripts.demo_parts.story import Document, summed

STYLE: Final = Path(__file__).with_name("page.css")

_VERDICTS: Final = ("right", "wrong", "missing")
_TALLIES: Final = ("equal", "changed", "added")
_TERMS: Final = {
    "points": "decoded",
    "role_copies": "role copies",
    "stored": "stored",
    "superseded": "superseded",
    "outside": "outside",
    "dropped": "dropped",
    "refused": "refused",
}
_HATCH: Final = (
    '<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><path d="M0 0V7"/></pattern></defs></svg>'
)
_KEY: Final = {
    '<path class="expected" d="M4 7H22"/>': "expected: computed by the oracle with dicts and loops",
    '<path class="stored" d="M0 7H26"/>': "stored",
    '<path class="wrong" d="M13 2.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z"/>': "stored and wrong",
    '<rect class="missing" width="26" height="14"/>': "missing",
    '<rect class="affected" width="26" height="14"/>': "affected period",
}


def page(document: Document) -> str:
    """The whole page."""
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_headline(document)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n{_HATCH}",
            f"<header>\n{_head(document)}\n</header>\n<main>",
            *_sections(document),
            f"</main>\n{_json('demo', document)}\n</body>\n</html>\n",
        )
    )


def _sections(document: Document) -> Iterator[str]:
    first, *others = document["series"] or [None]
    if first:
        yield _section("A damaged series", _figure(document, first) + _hours(first) + "".join(_folded(document, one) for one in others))
    yield _section("All buckets", _buckets_table(document))
    yield _section("All points", _points_table(document["run"]))
    yield _section("Look further", _commands(document))


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}\n</section>"


def _headline(document: Document) -> str:
    before, after = summed(document["before"]), summed(document["after"])
    if document["differences"]:
        return f"Not repaired: {after['wrong'] + after['missing'] + after['extra']:,} buckets differ"
    return f"Repaired: {before['missing']:,} missing and {before['wrong']:,} wrong rollups"


def _head(document: Document) -> str:
    run, incident = document["run"], document["incident"]
    return "\n".join(
        (
            f"<h1>{_headline(document)}</h1>",
            f"<p>A demo on real measurements. Two of the three shards of a hot tier lost points on {incident['start'][:10]}: one was down from {_clock(incident['start'])} to"
            f" {_clock(incident['restart'])} UTC, then two kept one minute in three until {_clock(incident['end'])}. The archive still had every posting.</p>",
            _verdict(document),
            _facts(document),
            f'<p class="soft">Run {escape(run["run_id"])}, generation {run["generation"]}, archive of {escape(document["archive"]["period"])}</p>',
        )
    )


def _clock(moment: str) -> str:
    return moment[11:16]


def _verdict(document: Document) -> str:
    if document["differences"]:
        return f'<div class="verdict failed" role="alert"><strong>✗ The store differs from what is expected.</strong><pre>{escape(chr(10).join(document["differences"]))}</pre></div>'
    right, untouched = summed(document["after"])["right"], document["untouched"]
    return (
        f'<p class="verdict"><strong>✓ All {_data(right)} buckets are as expected</strong>, in every exported column, bit for bit. The {_data(untouched)} buckets outside the'
        " computed ones were not touched.</p>"
    )


def _facts(document: Document) -> str:
    run, before = document["run"], summed(document["before"])
    points = sum(of_type.get("points", 0) for of_type in run["points"].values())
    facts = {
        "missing before": (_data(before["missing"]), "all added"),
        "wrong before": (_data(before["wrong"]), "all changed"),
        "points read again": (_data(points), f"from {_data(run['objects'])} archive objects"),
        "the repair took": (f"{run['duration_s']:.1f} s", f"{len(run['buckets'])} metric types, 3 granularities"),
    }
    if document["differences"]:
        facts = {name: (number, "" if "before" in name else note) for name, (number, note) in facts.items()}
    return (
        '<dl class="facts">' + "".join(f"<div><dt>{name}</dt><dd>{number}<small>{note}</small></dd></div>" for name, (number, note) in facts.items()) + "</dl>"
    )


def _figure(document: Document, series: Document) -> str:
    affected = seconds(document["incident"]["start"]), seconds(document["incident"]["end"])
    name = escape(series["text"])
    key = "".join(f'<li><svg viewBox="0 0 26 14" aria-hidden="true">{mark}</svg>{meaning}</li>' for mark, meaning in _KEY.items())
    drawn = chart(series["buckets"]["5m"], 300, affected, series["text"])
    caption = f"<strong>{name}</strong>: 5 minute averages, and below them how many of its 5 minutes each is made of. Times are UTC; point at a bucket for its numbers."
    return f'<figure>\n<figcaption>{caption}</figcaption>\n<ul class="key">{key}</ul>\n<div class="scroll" tabindex="0">{drawn}</div>\n</figure>'


def _folded(document: Document, series: Document) -> str:
    return f"<details><summary>{escape(series['text'])}</summary>\n{_figure(document, series)}{_hours(series)}</details>"


def _hours(series: Document) -> str:
    """The series' hours, whose averages look fine and are not."""
    rows = [_hour(one) for one in series["buckets"]["1h"] if one["before"]["verdict"] != "right"]
    head = (
        '<thead><tr><th rowspan="2" scope="col" style="text-align:left">hour, UTC</th><th colspan="2" scope="colgroup" class="group first">before</th>'
        '<th colspan="2" scope="colgroup" class="group first">after</th><th colspan="2" scope="colgroup" class="group first">expected</th></tr>'
        f"<tr>{'<th scope=col class=first>minutes</th><th scope=col>average</th>' * 3}</tr></thead>"
    )
    caption = "<caption>The hours that were wrong or missing. An average of half the points looks fine; its number of minutes tells.</caption>"
    return f'<div class="scroll" tabindex="0"><table class="hours">{caption}{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _hour(bucket: Document) -> str:
    cells = "".join(_stored(bucket[side]) for side in ("before", "after")) + _stored(bucket["expected"] | {"verdict": "none"})
    return f'<tr><th scope="row">{bucket["bucket_start"][:16].replace("T", " ")}</th>{cells}</tr>'


def _stored(stored: Document) -> str:
    if stored["avg"] is None:
        return '<td class="first bad" colspan="2">missing</td>'
    kind = {"right": "good", "wrong": "bad", "none": ""}.get(stored["verdict"], "bad")
    return f'<td class="first {kind}">{_data(stored["minutes"])}</td><td class="{kind}">{_data(stored["avg"])}</td>'


def _buckets_table(document: Document) -> str:
    run, before, after = document["run"], document["before"], document["after"]
    rows = [
        (f"{metric_type} {granularity}", before[metric_type][granularity], run["buckets"][metric_type][granularity], after[metric_type][granularity])
        for metric_type in before
        for granularity in before[metric_type]
    ]
    body = "".join(_buckets_row(*row) for row in rows) + _buckets_row(
        "all", summed(before), _sum_of_tallies([row[2] for row in rows]), summed(after), kind="total"
    )
    head = (
        '<thead><tr><td></td><th colspan="3" scope="colgroup" class="group first">in the store before</th><th colspan="4" scope="colgroup" class="group first">what the run reports</th>'
        '<th colspan="3" scope="colgroup" class="group first">in the store after</th></tr>'
        f'<tr><th scope="col" style="text-align:left">buckets</th>{_heads(_VERDICTS)}{_heads(_TALLIES)}<th scope="col"></th>{_heads(_VERDICTS)}</tr></thead>'
    )
    caption = "<caption>Before and after: every bucket of the archive’s days, against the oracle. The run reports the buckets of the affected period: equal, changed, added.</caption>"
    return f'<div class="scroll" tabindex="0"><table id="buckets">{caption}{head}<tbody>{body}</tbody></table></div>'


def _sum_of_tallies(tallies: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(one[name] for one in tallies) for name in _TALLIES}


def _heads(names: tuple[str, ...]) -> str:
    return "".join(f'<th scope="col"{" class=first" if place == 0 else ""}>{name}</th>' for place, name in enumerate(names))


def _buckets_row(name: str, before: dict[str, int], tally: dict[str, int], after: dict[str, int], kind: str = "") -> str:
    bar = "".join(f'<i class="{what}" style="flex:{tally[what]}"></i>' for what in _TALLIES if tally[what])
    cells = _cells(before, _VERDICTS) + _cells(tally, _TALLIES) + f'<td><div class="bar" aria-hidden="true">{bar}</div></td>' + _cells(after, _VERDICTS)
    return f'<tr class="{kind}"><th scope="row">{name}</th>{cells}</tr>'


def _cells(numbers: dict[str, int], names: tuple[str, ...]) -> str:
    kinds = {"wrong": "bad", "missing": "bad", "changed": "bad", "added": "bad"}
    return "".join(
        f'<td class="{"first " if place == 0 else ""}{"none" if not numbers[name] else kinds.get(name, "")}">{_data(numbers[name])}</td>'
        for place, name in enumerate(names)
    )


def _points_table(run: Document) -> str:
    """The run's balance of points: what came in equals what became of it."""
    rows = "".join(
        f'<tr><th scope="row">{metric_type}</th>' + "".join(f"<td>{_data(_term(of_type, term))}</td>" for term in _TERMS) + "</tr>"
        for metric_type, of_type in run["points"].items()
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in _TERMS.values())
    caption = "<caption>Nothing is lost silently: decoded + role copies = stored + superseded (by a later arrival) + outside (the period) + dropped (too late) + refused.</caption>"
    return (
        f'<div class="scroll" tabindex="0"><table id="points">{caption}<thead><tr><th scope="col" style="text-align:left">points</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _term(of_type: dict[str, int], term: str) -> int:
    """A term of the balance; reasons (`dropped.late`) are added up."""
    return sum(number for name, number in of_type.items() if name.split(".")[0] == term)


def _commands(document: Document) -> str:
    typed, further = ("\n".join(document[name]) for name in ("commands", "further"))
    return (
        f"<p>What was typed, from the project’s folder:</p>\n<pre>{escape(typed)}</pre>\n<p>What to try next:</p>\n<pre>{escape(further)}</pre>\n"
        f"<details><summary>The run’s JSON</summary><pre>{escape(json.dumps(document['run'], ensure_ascii=False, indent=1))}</pre></details>"
    )


def _data(number: float) -> str:
    """A number as people read it, and exactly."""
    shown = f"{number:,}" if isinstance(number, int) else f"{number:,.6g}"
    return f'<data value="{number!r}">{shown}</data>'


def _json(name: str, document: Document) -> str:
    """The document for programs; `<` is escaped, so that no text in it ends the element."""
    return f'<script type="application/json" id="{name}">\n{json.dumps(document, ensure_ascii=False, indent=1).replace("<", chr(92) + "u003c")}\n</script>'
