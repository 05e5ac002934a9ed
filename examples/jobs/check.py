"""An independent check of the example jobs: the same questions, answered in plain CPython by other methods.

`check(name, csv_bytes, output_bytes)` gives a list of problems, empty if the output is right. Load it by path. It
shares no code with the jobs: neighbours and pairs are found by sweeping over latitudes (the jobs use a k-d tree and a
grid of cubes), distances compared are haversines (the jobs use chords), statistics come from sorting and grouping exact
fractions (the job adds up as it reads).
"""

from __future__ import annotations

import csv
import io
import json
from bisect import bisect_left
from fractions import Fraction
from itertools import groupby
from math import asin, cos, floor, radians, sin, sqrt

EARTH_RADIUS_M = 6371008.8
TOLERANCE_M = 1.0  # a job rounds to metres, and its sine may differ from this machine's in the last bit
PROBLEMS_MAX = 10
PAIRS = 10

Row = dict[str, str]


def read(csv_bytes: bytes) -> list[Row]:
    """The airports, in file order."""
    return list(csv.DictReader(io.StringIO(csv_bytes.decode(), newline="")))


class Sweep:
    """Airports sorted by latitude; a difference of latitude alone is a lower bound of the distance."""

    def __init__(self, rows: list[Row]) -> None:
        placed = ((radians(float(row["lat"])), radians(float(row["lon"])), row["icao"]) for row in rows)
        self.points = [(north, east, code, cos(north)) for north, east, code in sorted(placed)]
        self.norths = [point[0] for point in self.points]
        self.vectors = [(cosine * cos(east), cosine * sin(east), sin(north)) for north, east, _, cosine in self.points]

    def distance(self, one: int, other: int) -> float:
        """Metres between two of `points`, by the haversine formula."""
        north, east, _, cosine = self.points[one]
        there, far, _, other_cosine = self.points[other]
        half = sin((there - north) / 2) ** 2 + cosine * other_cosine * sin((far - east) / 2) ** 2
        return 2 * EARTH_RADIUS_M * asin(sqrt(half))

    def nearest_distance(self, one: int) -> float:
        """Metres to the nearest other point, walking up and down in latitude until that alone is farther."""
        x, y, z = self.vectors[one]
        north = self.norths[one]
        best_square = 4.0
        reach = 4.0  # the largest difference of latitude that may still hold a nearer point
        for others in (range(one + 1, len(self.norths)), range(one - 1, -1, -1)):
            for other in others:
                if abs(self.norths[other] - north) > reach:
                    break
                there = self.vectors[other]
                square = (there[0] - x) ** 2 + (there[1] - y) ** 2 + (there[2] - z) ** 2
                if square < best_square:
                    best_square = square
                    reach = 2 * asin(sqrt(square) / 2)
        return reach * EARTH_RADIUS_M

    def close_pairs(self, limit_m: float) -> list[tuple[float, str, str]]:
        """Every pair within `limit_m`, by distance and codes."""
        found = []
        for one, (north, _, code, _) in enumerate(self.points):
            end = bisect_left(self.norths, north + limit_m / EARTH_RADIUS_M)
            for other in range(one + 1, end):
                metres = self.distance(one, other)
                if metres <= limit_m:
                    found.append((metres, *sorted((code, self.points[other][2]))))
        return sorted((round(metres, 6), first, second) for metres, first, second in found)


def check_neighbours(rows: list[Row], result: dict[str, object]) -> list[str]:
    """airports-js: each named neighbour is as near as the nearest, and the distance given is right."""
    listed = result["neighbours"]
    assert isinstance(listed, list)
    problems = []
    if result["airports"] != len(rows) or [row[0] for row in listed] != [row["icao"] for row in rows]:
        problems.append("the airports are not those of the input, in its order")
        return problems
    sweep = Sweep(rows)
    place = {point[2]: index for index, point in enumerate(sweep.points)}
    for code, other, metres in listed:
        nearest = sweep.nearest_distance(place[code])
        named = sweep.distance(place[code], place[other]) if other in place and other != code else float("inf")
        if abs(named - nearest) > TOLERANCE_M or abs(metres - nearest) > TOLERANCE_M:
            problems.append(f"{code}: nearest is {nearest:.1f} m away, the result says {other} at {metres} m")
    if result["loneliest"] != max(listed, key=lambda row: row[2]):
        problems.append("the loneliest airport is another")
    return problems


def group_statistics(rows: list[Row], column: str) -> dict[str, object]:
    """Statistics of the groups of equal `column`, as airports-python gives them."""
    result: dict[str, object] = {}
    for name, members in groupby(sorted(rows, key=lambda row: row[column]), key=lambda row: row[column]):
        group = list(members)
        elevations = sorted(Fraction(row["elevation"]) for row in group)
        summary = (elevations[0], sum(elevations) / len(elevations), elevations[-1])
        result[name] = {
            "airports": len(group),
            "iata": len([row for row in group if row["iata"]]),
            "elevation_ft": [floor(value) for value in summary],
            "highest": min(row["icao"] for row in group if Fraction(row["elevation"]) == elevations[-1]),
        }
    return result


def check_statistics(rows: list[Row], result: dict[str, object]) -> list[str]:
    """airports-python: every number, exactly."""
    problems = [] if result["airports"] == len(rows) else ["the count of airports is wrong"]
    for key, column in (("countries", "country"), ("time_zones", "tz")):
        expected, given = group_statistics(rows, column), result[key]
        assert isinstance(given, dict)
        problems += [
            f"{key} {name}: {given.get(name)}, expected {expected.get(name)}"
            for name in sorted({*expected, *given})
            if given.get(name) != expected.get(name)
        ]
    return problems


def check_pairs(rows: list[Row], result: list[list[object]]) -> list[str]:
    """airports-wasm: the ten closest pairs in order, distances to a tenth of a metre."""
    expected = Sweep(rows).close_pairs(3_000.0)[:PAIRS]
    if len(result) != PAIRS or len(expected) != PAIRS:
        return [f"{len(result)} pairs in the result, {len(expected)} expected"]
    problems = []
    for (metres, first, second), given in zip(expected, result, strict=True):
        if given[:2] != [first, second] or abs(float(str(given[2])) - metres) > 0.1:
            problems.append(f"pair {given}, expected {[first, second, round(metres, 1)]}")
    return problems


CHECKS = {
    "airports-js": check_neighbours,
    "airports-python": check_statistics,
    "airports-wasm": check_pairs,
}


def check(name: str, csv_bytes: bytes, output_bytes: bytes) -> list[str]:
    """What is wrong with the output of job `name` on `csv_bytes`, at most PROBLEMS_MAX lines; empty if nothing is."""
    try:
        result = json.loads(output_bytes)
        problems = CHECKS[name](read(csv_bytes), result)  # type: ignore[operator]
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        return [f"not a result of {name}: {type(error).__name__}: {error}"]
    return problems[:PROBLEMS_MAX]
