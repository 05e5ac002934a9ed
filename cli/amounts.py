"""Amounts as people write them: `1.5` or `1.5 HDL` is 1_500_000_000_000 units (12 decimals, chain properties)."""

import re

from cli.errors import Refused

DECIMALS = 12
SYMBOL = "HDL"
UNITS_PER_TOKEN = 10**DECIMALS
AMOUNT_MAX = 2**128 - 1

_WRITTEN = re.compile(r"(?P<whole>\d[\d_]*)(?:\.(?P<part>\d+))?\s*(?P<suffix>HDL|units?|)", re.ASCII | re.IGNORECASE)


def parse_amount(text: str, name: str = "amount") -> int:
    """`text` in tokens (`2`, `0.25`, `2 HDL`) or in units (`500units`) as units; Refused names the field."""
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        raise Refused(f"{name}: {text!r} is not an amount", f"write tokens as 1.5 or '1.5 {SYMBOL}', units as 500units")
    whole = int(written["whole"].replace("_", ""))
    part = written["part"] or ""
    if written["suffix"].lower().startswith("unit"):
        if part:
            raise Refused(f"{name}: a unit has no parts, {text!r} has", "drop the decimals")
        units = whole
    else:
        if len(part) > DECIMALS:
            raise Refused(f"{name}: {text!r} has over {DECIMALS} decimals", f"the smallest amount is 10^-{DECIMALS}")
        units = whole * UNITS_PER_TOKEN + int(part.ljust(DECIMALS, "0"))
    if units > AMOUNT_MAX:
        raise Refused(f"{name}: {text!r} is more than the chain can hold", f"at most {AMOUNT_MAX} units")
    return units


def format_amount(units: int) -> str:
    """Units as tokens, without trailing zeros: 1_500_000_000_000 is `1.5 HDL`."""
    sign = "-" if units < 0 else ""
    whole, part = divmod(abs(units), UNITS_PER_TOKEN)
    decimals = f"{part:0{DECIMALS}d}".rstrip("0")
    return f"{sign}{whole:,}{'.' + decimals if decimals else ''} {SYMBOL}"
