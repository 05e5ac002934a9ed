"""The result of an execution: found, fetched, checked against its name, and shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.blob_client import download
from cli.chain_client import bytes_of
from cli.errors import CliError, NotFound
from cli.job_timeline import failure_text, variant_of
from cli.output import emit
from cli.rpc_client import RpcClient, RpcError
from node.blobs import cid_of, cid_text

if TYPE_CHECKING:
    from rich.console import Console

TEXT_CHARS_SHOWN = 4_000
ACCEPTED = "accepted"


@dataclass(frozen=True)
class JobResult:
    """An accepted output with its place. `digest` is what replicas are compared by."""

    job: int
    execution: int
    slot: int
    digest: str
    fuel: int
    paid: int
    processor: str
    data: bytes
    from_blob: bool

    @property
    def cid(self) -> str:
        """The output's content name."""
        return cid_text(cid_of(self.data))


def fetch_result(rpc: RpcClient, view: dict[str, Any], slot: int | None, execution: int) -> JobResult:
    """The accepted result of an execution; NotFound says how far it is instead."""
    job = view["id"]
    answers = [_answer(rpc, job, execution, number) for number in slots_of(view, slot)]
    for answer in answers:
        if answer is not None and answer["output"] is not None:
            return _result(rpc, answer)
    known = [answer for answer in answers if answer is not None]
    if not known:
        state = view["job"]["state"].upper()
        raise NotFound(f"job {job} has no such execution; it is {state}", f"see `heddle job show {job}`")
    failed = [answer for answer in known if answer["failure"] is not None]
    if failed:
        why = failure_text(failed[0]["failure"])
        raise NotFound(f"execution {execution} of job {job} failed: {why}", f"see `heddle job timeline {job}`")
    raise NotFound(f"execution {execution} of job {job} is {known[0]['state']}", f"wait: `heddle job watch {job}`")


def slots_of(view: dict[str, Any], slot: int | None) -> list[int]:
    """The slots to ask: one, or all that the job has; NotFound if it has no such slot."""
    count = view["spec"]["slots"]
    if slot is None:
        return list(range(count))
    if slot >= count:
        raise NotFound(f"slot: job {view['id']} has slots 0..{count - 1}", "choose one of them")
    return [slot]


def _answer(rpc: RpcClient, job: int, execution: int, slot: int) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = rpc.call("jobs_result", job, execution, slot)
    except RpcError as error:
        if error.method == "jobs_result" and error.code > 0:
            return None
        raise
    return answer


def _result(rpc: RpcClient, answer: dict[str, Any]) -> JobResult:
    kind, inside = variant_of(answer["output"])
    if kind == "InlineOutput":
        data = bytes_of(inside["data"])
    elif kind == "BlobOutput":
        data = download(rpc, inside["blob"]["cid"])
        size = inside["blob"]["size"]
        if len(data) != size:
            raise CliError(f"the result has {len(data)} bytes, the chain says {size}", "ask another node")
    else:
        raise CliError(f"unknown form of result: {kind}", "use the `heddle` of the node's version")
    return JobResult(
        answer["job"],
        answer["execution"],
        answer["slot"],
        answer["digest"],
        answer["fuel"],
        answer["paid"],
        answer.get("processor_address") or "",
        data,
        kind == "BlobOutput",
    )


def as_text(data: bytes) -> str | None:
    """The output as text, None if it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def show_result(found: JobResult, written: Path | None, *, as_json: bool, proven: dict[str, Any] | None = None) -> None:
    """Print a result: its bytes alone on standard output, all about it on standard error (or one JSON document)."""
    text = as_text(found.data)
    document: dict[str, Any] = {
        "job": found.job,
        "execution": found.execution,
        "slot": found.slot,
        "digest": found.digest,
        "cid": found.cid,
        "bytes": len(found.data),
        "from": "blob" if found.from_blob else "chain",
        "fuel": found.fuel,
        "paid": found.paid,
        "processor": found.processor,
    }
    if proven is not None:
        document["proven"] = proven
    if written is not None:
        document["file"] = str(written)
    elif text is not None:
        document["text"] = text
    else:
        document["data"] = found.data

    def draw(target: "Console") -> None:
        from cli.output import console, fields

        about = {name: value for name, value in document.items() if name not in ("text", "data", "paid", "proven")}
        if proven is not None:
            word = (
                "as you said" if proven["finalised_by"] == "user" else "by the node's word: --finalised HASH is safer"
            )
            about["proven"] = f"by the header of block {proven['block']} ({proven['hash']}), final {word}"
        fields(about)(console(stderr=True))
        if written is not None:
            return
        if text is None:
            target.print(f"{len(found.data)} bytes that are no text: write them to a file with --output FILE")
        elif target.is_terminal and len(text) > TEXT_CHARS_SHOWN:
            target.print(text[:TEXT_CHARS_SHOWN], markup=False)
            target.print(f"… {len(text) - TEXT_CHARS_SHOWN} more characters: --output FILE, or pipe it on")
        else:
            target.file.write(text if text.endswith("\n") else text + "\n")

    emit(document, as_json=as_json, human=draw)
