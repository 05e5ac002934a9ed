"""Statistics of the airports of each country and each time zone.

Input: airports.csv. Result: {"airports", "countries": {code: {...}}, "time_zones": {name: {...}}}. Each entry counts
its airports and those with an IATA code, and gives the lowest, mean and highest elevation in feet, all rounded down,
and the highest airport (the first of them in code order). Sums are of whole thousandths of a foot: nothing rounds.
"""

import csv
import io


def thousandths(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole + (part + "000")[:3])


class Group:
    """The airports of one country or time zone."""

    def __init__(self) -> None:
        self.airports = self.iata = self.total = 0
        self.lowest = self.highest = None
        self.top = ""

    def add(self, row: dict[str, str]) -> None:
        elevation = thousandths(row["elevation"])
        self.airports += 1
        self.iata += row["iata"] != ""
        self.total += elevation
        if self.lowest is None or elevation < self.lowest:
            self.lowest = elevation
        if self.highest is None or (-elevation, row["icao"]) < (-self.highest, self.top):
            self.highest, self.top = elevation, row["icao"]

    def result(self) -> dict[str, object]:
        return {
            "airports": self.airports,
            "iata": self.iata,
            "elevation_ft": [self.lowest // 1000, self.total // self.airports // 1000, self.highest // 1000],
            "highest": self.top,
        }


def main(heddle: object) -> dict[str, object]:
    rows = csv.DictReader(io.StringIO(heddle.input().decode(), newline=""))
    countries, zones = {}, {}
    count = 0
    for count, row in enumerate(rows, 1):
        countries.setdefault(row["country"], Group()).add(row)
        zones.setdefault(row["tz"], Group()).add(row)
        if count % 7_000 == 0:
            heddle.progress(90 * count // 28_300, f"{count} airports read")
    return {
        "airports": count,
        "countries": {name: countries[name].result() for name in sorted(countries)},
        "time_zones": {name: zones[name].result() for name in sorted(zones)},
    }
