"""How a job's record is shown to people."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cli.amounts import format_amount
from cli.job_timeline import end_text, failure_text, short, variant_of
from cli.output import fields, table

if TYPE_CHECKING:
    from rich.console import Console

Draw = Callable[["Console"], None]


def draw_job(view: dict[str, Any]) -> Draw:
    """A job with its terms, money, slots and executions."""
    job, spec, ledger = view["job"], view["spec"], view["ledger"]
    state = job["state"].upper() + (f", {end_text(job['end'])}" if job["end"] else "")
    schedule = spec["schedule"]
    choice, choice_fields = variant_of(spec["processors"])
    known = ", ".join(map(short, choice_fields.get("processor_addresses", ())))
    about = {
        "job": view["id"],
        "hash": job["id_hash"],
        "state": state,
        "owner": job["owner_address"],
        "registered": f"block {job['registered_block']}",
        "script": f"{spec['script']['cid']} ({spec['script']['size']} bytes, {spec['runtime']})",
        "input": input_text(spec["input"]),
        "processors": f"{choice.lower()} {known}".strip(),
        "executions": f"{job['executions']} on each of {job['slots']} slots, {job['accepted']} accepted",
        "schedule": f"every {schedule['interval_ms']} ms, at most {schedule['duration_ms']} ms each",
        "destinations": ", ".join(destination_text(one) for one in spec["destinations"]),
        "reward": f"{format_amount(job['reward'])} for each execution and slot",
        "deposited": format_amount(ledger["deposited"]),
        "paid": format_amount(ledger["paid"]),
        "fees": format_amount(ledger["fees"]),
        "refunded": format_amount(ledger["refunded"]),
        "held": format_amount(sum(ledger["pots"].values())),
    }
    slots = [
        [
            one["number"],
            one["slot"]["state"],
            one["slot"].get("processor_address") or "-",
            one["slot"]["generation"],
            format_amount(one["slot"]["ask"]),
            format_amount(one["bond"]),
        ]
        for one in view["slots"]
    ]
    runs = [
        [
            one["slot"],
            one["execution"],
            one["state"],
            one["attempt"],
            failure_text(one["failure"]) if one["failure"] else "",
            f"{one['fuel']:,}" if one["fuel"] else "",
            format_amount(one["paid"]),
            (one["digest"] or "")[:18],
        ]
        for one in view["executions"]
    ]

    def draw(target: "Console") -> None:
        fields(about)(target)
        target.print()
        heads = ("slot", "state", "processor", "generation", "ask", "bond")
        table(heads, slots, empty="No slot has been offered to a processor yet.")(target)
        columns = ("slot", "execution", "state", "attempt", "failure", "fuel", "paid", "digest")
        table(columns, runs, empty="No execution has come up yet.")(target)

    return draw


def input_text(value: Any) -> str:
    """Where the input comes from, in words."""
    kind, inside = variant_of(value)
    if kind == "BlobInput":
        return f"{inside['blob']['cid']} ({inside['blob']['size']} bytes)"
    if kind == "InlineInput":
        return f"{(len(inside['data']) - 2) // 2} bytes in the specification"
    return "none" if kind == "NoInput" else kind


def destination_text(value: Any) -> str:
    """A destination in words."""
    kind, inside = variant_of(value)
    return " ".join((kind.lower(), *(str(one) for one in inside.values())))
