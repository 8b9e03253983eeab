"""How points of histograms become buckets (DESIGN §3, table of kinds). A percentile is never made of percentiles: buckets are merged."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from transforms.core.fold import Buckets
from transforms.core.granularity import MINUTE_S
from transforms.core.histograms import Histograms, histograms_of, joined, merge, replaced, taken_from
from transforms.core.kinds import Folded, Gathered, Laid, Rules, count_minutes, followers, gather, is_young
from transforms.core.model import Bools, Floats, Ints
from transforms.core.percentiles import percentiles
from transforms.core.ragged import MOST, concatenated_ranges, latest, left_folds, sizes_of, starts_of
from transforms.core.tiles import Part


class _Summands(NamedTuple):
    """What points add to minutes: the position of each point, its histogram, and whether making it rebinned a bucket."""

    at: Ints
    histograms: Histograms
    rebinned: Bools


class HistogramRows(NamedTuple):
    """Histograms in buckets of `width` minutes by series and bucket number, sorted by both.

    `minutes` and `points` went into each; `rebinned` tells whether a bucket of it became wider.
    """

    width: int
    series: Ints
    bucket: Ints
    histograms: Histograms
    minutes: Ints
    points: Ints
    rebinned: Bools


def fold_histogram_points(parts: Sequence[Part], series: int, rules: Rules) -> Folded:
    """Deltas: last arrival per (start, time). Cumulative: last arrival per minute, less its predecessor. What a minute has of both is merged, in that order."""
    del series
    points = gather(parts)
    histograms = [histograms_of(part.histogram) for part in parts if part.histogram is not None]
    is_cumulative = np.concatenate([np.repeat(part.is_cumulative, part.sizes) for part in parts if part.is_cumulative is not None])
    deltas, lost = _deltas(points, histograms, np.flatnonzero(~is_cumulative))
    grown, also_lost, left_out = _growths(points, histograms, np.flatnonzero(is_cumulative), rules.lead_in_s)
    summands = _in_order(points, [deltas, grown])
    ones = _minutes(points, summands)
    first = np.zeros(len(summands.at), bool)
    first[starts_of(points.series[summands.at], points.minute[summands.at])] = True
    fives = coarser_histograms(ones, 5)
    rows = {"1m": ones, "5m": fives, "1h": coarser_histograms(fives, 60)}
    counts = count_minutes(points.minute, superseded=np.concatenate([lost, also_lost]), merged=summands.at[~first], left_out=left_out)
    return Folded({name: laid_histograms(one) for name, one in rows.items()}, counts)


def _deltas(points: Gathered, histograms: Sequence[Histograms], at: Ints) -> tuple[_Summands, Ints]:
    """The points that stand, and the positions of the others."""
    order, stands = latest(points.series[at], points.time_us[at], points.start_us[at], points.arrival_us[at])
    kept = at[order[stands]]
    return _Summands(kept, taken_from(histograms, kept), np.zeros(len(kept), bool)), at[order[~stands]]


def _growths(points: Gathered, histograms: Sequence[Histograms], at: Ints, lead_in_s: int) -> tuple[_Summands, Ints, Ints]:
    """What was observed since the predecessors; the positions of points that did not stand, and of those without a predecessor that are left out.

    If the start is known to have changed or a count would be negative, the histogram was reset: it counts as it is. So it does without a predecessor at most
    `lead_in_s` back if its start lies at most `lead_in_s` before the minute. The least and largest of a difference are unknown.
    """
    order, stands = latest(points.series[at], points.minute[at], np.zeros(len(at), np.int64), points.arrival_us[at])
    kept = at[order[stands]]
    minute, start_us = points.minute[kept], points.start_us[kept]
    follows, changed = followers(points.series[kept], minute, start_us, lead_in_s)
    later = np.flatnonzero(follows & ~changed)
    whole = taken_from(histograms, kept)
    grown, rebinned = _differences(whole, later)
    reset = np.flatnonzero(_negative(grown))
    grown, rebinned[reset] = replaced(grown, reset, whole.take(reset)), False
    left_out = ~follows & ~is_young(minute, start_us, lead_in_s)
    told = np.flatnonzero(~left_out)
    summands = _Summands(kept[told], grown.take(told), rebinned[told])
    return summands, at[order[~stands]], kept[left_out]


def _differences(whole: Histograms, later: Ints) -> tuple[Histograms, Bools]:
    """The rows, of which the later ones are less those before them, by the rule of `merge` with negative counts; and whether a bucket was rebinned."""
    rebinned = np.zeros(len(whole), bool)
    is_alike = whole.shape[later] == whole.shape[later - 1]
    grown = _subtracted(whole, later[is_alike])
    mixed = later[~is_alike]
    united, rebinned[mixed] = _subtracted_across(whole, mixed, mixed - 1)
    return replaced(grown, mixed, united), rebinned


def _subtracted(whole: Histograms, at: Ints) -> Histograms:
    """The rows, of which those at these places are less those before them, which have the same bounds."""
    count, total, low, high, known = whole.count.copy(), whole.total.copy(), whole.low.copy(), whole.high.copy(), _known_totals(whole)
    count[at] -= whole.count[at - 1]
    with np.errstate(over="ignore"):
        total[at] = known[at] - known[at - 1]
    low[at] = high[at] = np.nan
    return replace(whole, count=count, total=total, low=low, high=high, counts=_less(whole, at))


def _less(whole: Histograms, at: Ints) -> Ints:
    """The bucket counts, of which those of these rows are less those of the rows before them."""
    if width := whole.width:
        rows = whole.counts.reshape(-1, width)
        less = np.empty_like(rows)
        np.subtract(rows[1:], rows[:-1], out=less[1:])
        is_other = np.ones(len(rows), bool)
        is_other[at] = False
        less[is_other] = rows[is_other]
        return less.reshape(-1)
    counts, sizes = whole.counts.copy(), np.diff(whole.offsets)[at]
    counts[concatenated_ranges(whole.offsets[at], sizes)] -= whole.counts[concatenated_ranges(whole.offsets[at - 1], sizes)]
    return counts


def _subtracted_across(histograms: Histograms, later: Ints, earlier: Ints) -> tuple[Histograms, Bools]:
    """Of histograms whose bounds differ, with whether a bucket was rebinned."""
    pairs = histograms.take(np.stack([later, earlier], axis=1).ravel())
    sign = np.tile(np.array([1, -1]), len(later))
    signed = replace(pairs, count=pairs.count * sign, counts=pairs.counts * np.repeat(sign, np.diff(pairs.offsets)))
    merged, rebinned = merge(signed, 2 * np.arange(len(later)))
    totals = _known_totals(pairs)
    with np.errstate(over="ignore"):
        total = totals[::2] - totals[1::2]
    unknown = np.full(len(later), np.nan)
    return replace(merged, total=total, low=unknown, high=unknown), rebinned


def _negative(given: Histograms) -> Bools:
    """Whether a count is below 0."""
    if int(given.counts.min(initial=0)) >= 0:
        return given.count < 0
    negative: Bools = (given.count < 0) | (np.minimum.reduceat(given.counts, given.offsets[:-1]) < 0)
    return negative


def _known_totals(given: Histograms) -> Floats:
    """The sums, 0.0 where nothing was observed and none is known."""
    return np.where((given.count == 0) & np.isnan(given.total), 0.0, given.total)


def _joined(*parts: _Summands) -> _Summands:
    at, rebinned = (np.concatenate([part[place] for part in parts]) for place in (0, 2))
    return _Summands(at, joined([part.histograms for part in parts]), rebinned)


def _in_order(points: Gathered, parts: Sequence[_Summands]) -> _Summands:
    """By series and minute, then part, then as they stand: deltas are in the order of their times."""
    filled = [part for part in parts if len(part.at)] or parts[:1]
    whole = _joined(*filled)
    series, minute = points.series[whole.at], points.minute[whole.at]
    if len(filled) == 1 and not (((series[1:] == series[:-1]) & (minute[1:] < minute[:-1])) | (series[1:] < series[:-1])).any():
        return whole
    order = np.lexsort((minute, series))
    return _Summands(whole.at[order], whole.histograms.take(order), whole.rebinned[order])


def _minutes(points: Gathered, given: _Summands) -> HistogramRows:
    series, minute = points.series[given.at], points.minute[given.at]
    starts = starts_of(series, minute)
    merged, rebinned = _merged(given.histograms, given.rebinned, starts)
    merged = replace(merged, total=_folded(given.histograms, starts))
    return HistogramRows(1, series[starts], minute[starts], merged, np.ones(len(starts), np.int64), sizes_of(starts, len(given.at)), rebinned)


def coarser_histograms(finer: HistogramRows, minutes: int) -> HistogramRows:
    """Buckets of so many minutes, merged. That is the merge of the 1m histograms: what overlaps, and its hull, does not depend on what is merged first."""
    bucket = finer.bucket // (minutes // finer.width)
    starts = starts_of(finer.series, bucket)
    merged, rebinned = _merged(finer.histograms, finer.rebinned, starts)
    present, points = (np.add.reduceat(column, starts) if len(starts) else column for column in (finer.minutes, finer.points))
    merged = replace(merged, total=_folded(finer.histograms, starts))
    return HistogramRows(minutes, finer.series[starts], bucket[starts], merged, present, points, rebinned)


def _merged(given: Histograms, rebinned: Bools, starts: Ints) -> tuple[Histograms, Bools]:
    merged, anew = merge(given, starts)
    return merged, anew | np.logical_or.reduceat(rebinned, starts) if len(starts) else anew


def _folded(given: Histograms, starts: Ints) -> Floats:
    """Sums folded from left to right, unknown if one is unknown."""
    totals = _known_totals(given)
    unknown = np.isnan(totals)
    folded = left_folds(np.where(unknown, 0.0, totals), starts) + 0.0
    if unknown.any():
        folded[np.logical_or.reduceat(unknown, starts)] = np.nan
    return folded


def laid_histograms(rows: HistogramRows) -> Laid:
    """The rows as tiles of one bucket."""
    given = rows.histograms
    with np.errstate(invalid="ignore", divide="ignore"):
        average = np.where((given.count > 0) & (given.count < MOST), given.total / given.count, np.nan) + 0.0
    values = {"sum": given.total, "min": given.low, "max": given.high, "avg": average} | percentiles(given)
    buckets = Buckets(
        present=np.ones((len(given), 1), bool),
        minutes=rows.minutes[:, None],
        count=given.count[:, None],
        values={name: column[:, None] for name, column in values.items()},
        gaps=True,
        columns={"bounds": given.bounds_lists(), "bucket_counts": given.counts_lists()},
        points=rows.points[:, None],
        rebinned=rows.rebinned[:, None],
    )
    return Laid(buckets, rows.series, rows.bucket[:, None] * (rows.width * MINUTE_S))
