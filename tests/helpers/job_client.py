"""A consumer on JSON-RPC: uploads blobs, builds and signs jobs, waits for their ends, and reads the whole state.

It uses the node's own types to build and to read, and nothing of the command line.
"""

import time
from dataclasses import dataclass, replace
from typing import Any, Protocol

from node.blobs import parse_cid
from node.keys.pair import Pair
from pallets.jobs.destinations import Chain
from pallets.jobs.types import (
    NO_CAPABILITIES,
    RETRY_DEFAULT,
    TIMEOUTS_DEFAULT,
    Blob,
    Immutable,
    InlineInput,
    JobSpec,
    NoInput,
    Public,
    Queue,
    Requirements,
    Resources,
    RuntimeKind,
    Schedule,
    Single,
    Trusted,
)
from runtime import tree
from runtime.address import Era
from runtime.extrinsic import SigningContext, sign_extrinsic
from runtime.heddle import TRANSACTION_VERSION, Heddle
from tests.helpers.dict_chain import DictState
from tests.helpers.waiting import wait_for

HDL = 10**12
KEYS_PER_PAGE = 1_000
ENDED = ("done", "cancelled", "expired", "skipped", "omitted")
REWARD = HDL // 2


class Rpc(Protocol):
    """A node that answers requests."""

    def result(self, method: str, *params: Any) -> Any:
        """The result of a request that must succeed."""


@dataclass(frozen=True)
class FinalState:
    """The whole state after one block, as the node's RPC gave it, under the real runtime."""

    number: int
    hash: str
    runtime: Heddle

    @property
    def issuance(self) -> int:
        """Total issuance in planck."""
        return self.runtime.balances.total_issuance()

    def wealth(self, who: bytes) -> int:
        """Free and held planck of an account."""
        data = self.runtime.system.accounts.get(who).data
        return int(data.free + data.reserved)

    def accounts(self) -> list[bytes]:
        """All accounts there are."""
        return [who for who, _ in self.runtime.system.accounts.items()]


class JobClient:
    """One consumer with one key, on one node."""

    def __init__(self, rpc: Rpc, pair: Pair, slot_ms: int) -> None:
        self.rpc, self.pair, self.slot_ms = rpc, pair, slot_ms
        self.genesis = bytes.fromhex(str(rpc.result("chain_getBlockHash", 0))[2:])
        self.runtime = Heddle(slot_ms)
        self.runtime.system.genesis_hash = self.genesis
        self._nonce = int(rpc.result("system_accountNextIndex", pair.address))

    # Building.

    def put(self, data: bytes) -> Blob:
        """Upload a blob."""
        stored = self.rpc.result("blobs_put", "0x" + data.hex())
        return Blob(parse_cid(stored["cid"]), stored["bytes"])

    def spec(self, kind: RuntimeKind, script: bytes, **fields: Any) -> JobSpec:
        """A job for one run within the next minutes, on one public processor. Any field may be given by its name."""
        now_ms = int(time.time() * 1000)
        given = fields.pop("input", b"")
        limits = {
            name: fields.pop(name)
            for name in ("memory_bytes", "storage_bytes", "network_requests", "fuel", "output_bytes")
            if name in fields
        }
        duration_ms = fields.pop("duration_ms", 60_000)
        spec = JobSpec(
            script=self.put(script),
            runtime=kind,
            entrypoint=fields.pop("entrypoint", ""),
            input=InlineInput(given) if given else NoInput(),
            processors=Public(0, attested_only=False),
            assignment=Single(),
            schedule=Schedule(now_ms, now_ms + 1, 600_000, duration_ms, 300_000),
            resources=replace(Resources(64 << 20, 0, 0, 1_000_000_000, 1 << 16), **limits),
            requirements=Requirements(),
            slots=1,
            reward=REWARD,
            destinations=(Chain(),),
            gas_per_delivery=0,
            verification=Trusted(),
            stake_multiple=0,
            accepted_min=None,
            retry=RETRY_DEFAULT,
            timeouts=TIMEOUTS_DEFAULT,
            queue=Queue(),
            environment=None,
            capabilities=NO_CAPABILITIES,
            mutability=Immutable(),
            fallback=None,
        )
        return replace(spec, **fields)

    # Sending.

    def send(self, pallet: str, call: str, *arguments: Any) -> str:
        """Sign a call and give it to the node; the transaction's hash."""
        call_data = self.runtime.call_codec.encode(self.runtime.definition(pallet, call)(*arguments))
        version = self.rpc.result("state_getRuntimeVersion")["specVersion"]
        context = SigningContext(version, TRANSACTION_VERSION, self.genesis)
        height = self.height()
        era = Era.mortal(64, height)
        birth = self.rpc.result("chain_getBlockHash", era.birth(height))
        raw = sign_extrinsic(
            call_data,
            self.pair.public,
            self.pair.sign,
            context,
            nonce=self._nonce,
            era=era,
            era_block_hash=bytes.fromhex(birth[2:]),
        )
        sent = str(self.rpc.result("author_submitExtrinsic", "0x" + raw.hex()))
        self._nonce += 1
        return sent

    def register(self, *specs: JobSpec) -> list[int]:
        """Register jobs; their ids, in the same order, once the best block has them."""
        known = {one["id"] for one in self._own()}
        for spec in specs:
            self.send("Jobs", "register", spec)

        def registered() -> list[int] | None:
            found = sorted(one["id"] for one in self._own() if one["id"] not in known)
            return found if len(found) == len(specs) else None

        return wait_for(registered, 60, f"{len(specs)} jobs registered")

    def _own(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.rpc.result("jobs_list", self.pair.address, 1_000)
        return found

    # Looking.

    def height(self) -> int:
        """The height of the best block."""
        return int(self.rpc.result("chain_getHeader")["number"], 16)

    def final_height(self) -> int:
        """The height of the last final block."""
        head = self.rpc.result("chain_getFinalizedHead")
        return int(self.rpc.result("chain_getHeader", head)["number"], 16)

    def job(self, id: int) -> dict[str, Any]:
        """The job's changing part."""
        view: dict[str, Any] = self.rpc.result("jobs_get", id)
        return view

    def executions(self, id: int) -> list[dict[str, Any]]:
        """All executions of a job that the chain still shows."""
        found: list[dict[str, Any]] = self.rpc.result("jobs_executions", id)
        return found

    def events(self, id: int, name: str) -> list[dict[str, Any]]:
        """The fields of a job's events of one name, from the job's registration on."""
        found: list[dict[str, Any]] = []
        position: int | None = self.job(id)["job"]["registered_block"]
        while position is not None:
            answer = self.rpc.result("jobs_events", id, position)
            found += [one["fields"] for one in answer["events"] if one["event"] == name]
            position = answer["next"]
        return found

    def advertised(self) -> int:
        """How many processors are open for public work: with an advert and a stake."""
        return sum(one["advert"] is not None and one["units"] > 0 for one in self.rpc.result("processors_list"))

    def block_events(self, number: int) -> list[Any]:
        """All events of one block of the best chain, decoded from its state."""
        key = "0x" + self.runtime.system.events_value.prefix.hex()
        raw = self.rpc.result("state_getStorage", key, self.rpc.result("chain_getBlockHash", number))
        assert raw is not None, f"the events of block {number} are gone"
        return [record.event for record in self.runtime.system.events_value.codec.decode(bytes.fromhex(raw[2:]))]

    def story(self, id: int) -> str:
        """Where a job stands, for the message of a failed assertion."""
        return f"{self.job(id)} {self.executions(id)} {self.rpc.result('jobs_explain', id)}"

    def wait_ended(self, id: int, deadline_s: float) -> dict[str, Any]:
        """The job's view once it has ended."""
        try:
            return wait_for(lambda: self._ended(id), deadline_s, f"the end of job {id}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.story(id)}") from error

    def _ended(self, id: int) -> dict[str, Any] | None:
        view = self.job(id)
        return view if view["job"]["state"] in ENDED else None

    def all_ended(self, ids: list[int]) -> bool:
        """Whether every one of these jobs of our own has ended."""
        ended = {one["id"] for one in self._own() if one["state"] in ENDED}
        return ended.issuperset(ids)

    def wait_final(self, height: int, deadline_s: float = 60) -> FinalState:
        """The state after the last final block, once that is at least `height`."""
        wait_for(lambda: self.final_height() >= height, deadline_s, f"block {height} final")
        return self.final_state()

    def final_state(self) -> FinalState:
        """Read every key of the last final block, and check every pallet's invariant on it."""
        head = str(self.rpc.result("chain_getFinalizedHead"))
        header = self.rpc.result("chain_getHeader", head)
        values: dict[bytes, bytes] = {}
        last: str | None = None
        while keys := self.rpc.result("state_getKeysPaged", "0x", KEYS_PER_PAGE, last, head):
            for key, value in self.rpc.result("state_queryStorageAt", keys, head)[0]["changes"]:
                values[bytes.fromhex(key[2:])] = bytes.fromhex(value[2:])
            last = keys[-1]
        runtime = Heddle(self.slot_ms)
        runtime.system.genesis_hash = self.genesis
        number = int(header["number"], 16)
        state = DictState(values)
        assert "0x" + tree.digest(state.root).hex() == header["stateRoot"]
        runtime.attach(state, number + 1)
        system = runtime.system
        system.number, system.slot = number, runtime.aura.current_slot.get()
        system.now_ms = system.slot * self.slot_ms
        runtime.check_state()
        return FinalState(number, head, runtime)
