"""How processors are shown to people."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cli.amounts import format_amount
from cli.job_timeline import short
from cli.output import fields, table
from cli.rpc_client import RpcClient

if TYPE_CHECKING:
    from rich.console import Console

Draw = Callable[["Console"], None]

WORK_JOBS_MAX = 64
RUNNING = ("running", "suspect")


def with_work(rpc: RpcClient, one: dict[str, Any]) -> dict[str, Any]:
    """A processor as processors_get gives it, with `work`: each promised slot and how its execution stands."""
    leases = one["leases"][:WORK_JOBS_MAX]
    jobs = sorted({lease["job"] for lease in leases})
    answers = rpc.batch([("jobs_executions", [job]) for job in jobs])
    runs = {(job, run["slot"]): run for job, found in zip(jobs, answers, strict=True) for run in found}
    work = []
    for lease in leases:
        run = runs.get((lease["job"], lease["slot"]))
        place = {"job": lease["job"], "slot": lease["slot"]}
        work.append({**place, "execution": run and run["execution"], "state": run["state"] if run else "promised"})
    return {**one, "work": work}


def draw_several(found: Sequence[dict[str, Any]]) -> Draw:
    """All processors, a line each."""
    rows = []
    for one in found:
        advert = one["advert"]
        scores = one["reputation_ppm"].values()
        rows.append(
            [
                one["processor_address"],
                state_of(one),
                ", ".join(advert["runtimes"]) if advert else "-",
                f"{max(scores) / 10_000:.1f} %" if scores else "-",
                format_amount(advert["pricing"]["base"]) if advert else "-",
                sum(work["state"] in RUNNING for work in one["work"]),
                len(one["work"]),
            ]
        )
    heads = ("processor", "state", "runtimes", "reputation", "base price", "running", "promised")
    return table(heads, rows, empty="No processor has registered: start one with `heddle node --processor`.")


def draw_fleet(found: Sequence[dict[str, Any]]) -> Draw:
    """Processors with what is at stake and what they have to do, a line each."""
    rows = [
        [
            one["processor_address"],
            state_of(one),
            format_amount(one["stake"]["bonded"]),
            one["units"],
            format_amount(one["free"]),
            sum(work["state"] in RUNNING for work in one["work"]),
            len(one["work"]),
        ]
        for one in found
    ]
    heads = ("processor", "state", "stake", "units", "free", "running", "promised")
    return table(heads, rows, empty="There is none: `heddle processor pair --manager NAME` puts one under a manager.")


def state_of(one: dict[str, Any]) -> str:
    """Whether it can get work."""
    if one["record"]["suspended"]:
        return "suspended"
    return "advertised" if one["advert"] else "registered"


def advert_fields(advert: dict[str, Any]) -> dict[str, object]:
    """An advert in words."""
    price, room = advert["pricing"], advert["capacity"]
    # JSON from a node has addresses beside the keys.
    consumers = ", ".join(map(short, advert.get("consumer_addresses", advert["consumers"])))
    return {
        "runtimes": ", ".join(advert["runtimes"]),
        "benchmark": f"{advert['benchmark']:,} fuel a millisecond",
        "capacity": f"{room['memory_bytes']:,} bytes of memory, {room['storage_bytes']:,} of storage, "
        f"{room['cores']} executions at a time",
        "price": f"{format_amount(price['base'])}, {format_amount(price['per_ms'])} a millisecond, "
        f"{format_amount(price['per_storage_byte'])} a byte, {format_amount(price['per_request'])} a request",
        "requests": f"at most {advert['requests_max']} an execution",
        "labels": ", ".join(advert["labels"]) or "none",
        "works for": consumers or "everybody",
    }


def draw_one(one: dict[str, Any]) -> Draw:
    """A processor in full."""
    record, advert = one["record"], one["advert"]
    about: dict[str, object] = {
        "processor": one["processor_address"],
        "state": state_of(one),
        "manager": record.get("manager_address") or "itself",
        "version": record["version"],
        "free": format_amount(one["free"]),
        "held": f"{format_amount(one['held'])} (stake, bonds and deposits)",
        "stake": f"{format_amount(one['stake']['bonded'])}, {one['units']} units in sortition",
    }
    if advert:
        about |= advert_fields(advert)
    about |= {f"reputation {name}": f"{score:,} ppm" for name, score in one["reputation_ppm"].items()}
    rows = [
        [work["job"], work["slot"], "-" if work["execution"] is None else work["execution"], work["state"]]
        for work in one["work"]
    ]

    def draw(target: "Console") -> None:
        fields(about)(target)
        target.print()
        table(("job", "slot", "execution", "state"), rows, empty="It has no work now.")(target)

    return draw
