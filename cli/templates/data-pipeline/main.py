"""Sales records -> totals by region and month, in four stages: read, clean, sum, report."""

import csv
import io
import json
from datetime import date

REJECTED = "/tmp/rejected.txt"


def main(heddle):
    done = json.loads(heddle.restore() or b"{}")
    if "rows" not in done:
        done["rows"] = read(heddle)
        save(heddle, done, 25, "read")
    if "clean" not in done:
        done["clean"], done["rejected"] = clean(heddle, done["rows"])
        save(heddle, done, 50, "clean")
    if "totals" not in done:
        done["totals"] = sums(done["clean"])
        save(heddle, done, 75, "summed")
    heddle.progress(100, "report")
    return {"accepted": len(done["clean"]), "rejected": done["rejected"], "totals": done["totals"]}


def read(heddle):
    return list(csv.DictReader(io.StringIO(heddle.input().decode())))


def clean(heddle, rows):
    """Rows with a real date, a whole quantity and a price in hundredths; how many others there were."""
    good = []
    with open(REJECTED, "w") as rejected:
        for number, row in enumerate(rows, start=2):
            try:
                month = date.fromisoformat(row["date"]).strftime("%Y-%m")
                whole, _, part = row["price"].partition(".")
                hundredths = int(whole) * 100 + int(part.ljust(2, "0"))
                good.append([row["region"].strip().lower(), month, int(row["quantity"]) * hundredths])
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                rejected.write(f"line {number}: {error}\n")
    with open(REJECTED) as rejected:
        for line in rejected:
            heddle.log(line.rstrip())
    return good, len(rows) - len(good)


def sums(rows):
    """{region: {month: total}}, totals as decimal text, so that no sum is rounded."""
    totals = {}
    for region, month, hundredths in rows:
        months = totals.setdefault(region, {})
        months[month] = months.get(month, 0) + hundredths
    return {
        region: {month: f"{total // 100}.{total % 100:02d}" for month, total in sorted(months.items())}
        for region, months in sorted(totals.items())
    }


def save(heddle, done, percent, stage):
    heddle.checkpoint(json.dumps(done).encode())
    heddle.progress(percent, stage)
