"""jobs_logs: what a job's script has printed and logged, from the processor that runs or ran it."""

from __future__ import annotations

from typing import Any

from node.chain import Chain
from node.rpc.api.chain_api import hexed
from node.rpc.api.job_json import EXECUTION_NOT_FOUND
from node.rpc.api.jobs_api import job_at
from node.rpc.errors import RpcError
from node.rpc.methods import Methods
from node.rpc.params import U32_MAX, integer
from node.run_logs import LOG_BYTES_MAX, LogUnavailable, RunLogs, RunPlace
from pallets.jobs.bounds import SLOTS_MAX

LOG_UNAVAILABLE = 5104
ATTEMPTS_MAX = 255


class LogsApi:
    """Answers about logs."""

    def __init__(self, chain: Chain, logs: RunLogs) -> None:
        self.chain = chain
        self.logs = logs
        self._runtime = chain.new_runtime()

    def register(self, methods: Methods) -> None:
        """Add the method to the table."""
        methods.register("jobs_logs", self.get)

    async def get(
        self, id: Any, execution: Any = 0, slot: Any = 0, attempt: Any = None, offset: Any = 0
    ) -> dict[str, Any]:
        """What a script logged or printed, at most 64 KiB of it: {job, execution, slot, attempt, total, over, data}.

        The chain holds no logs: they are asked of the processor that ran the attempt, by default the latest one.
        `total` is what is there by now, and no more comes once it is `over`; go on with `offset` beyond `data`.
        """
        runtime = self.chain.at(self.chain.best.hash, self._runtime)
        job = job_at(runtime, id)
        number, place = integer(execution, "execution", U32_MAX), integer(slot, "slot", SLOTS_MAX - 1)
        job_hash = runtime.jobs.job(job).id_hash
        if attempt is None:
            record = runtime.jobs.executions.find((job, place, number))
            if record is None:
                name = f"execution {number} on slot {place} of job {job}"
                reason = f"{name} has not come up yet, or its record was dropped for newer ones"
                raise RpcError(EXECUTION_NOT_FOUND, "Execution not found", reason)
            wanted = record.attempt
        else:
            wanted = integer(attempt, "attempt", ATTEMPTS_MAX)
        try:
            part = await self.logs.part(
                RunPlace(job_hash, number, place, wanted), integer(offset, "offset", LOG_BYTES_MAX)
            )
        except LogUnavailable as error:
            reason = f"attempt {wanted} has not begun, or its processor cannot be asked: {error}"
            raise RpcError(LOG_UNAVAILABLE, "Log unavailable", reason) from error
        about = {"job": job, "execution": number, "slot": place, "attempt": wanted}
        return {**about, "total": part.total, "over": part.over, "data": hexed(part.data)}
