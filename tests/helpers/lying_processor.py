"""A `heddle` whose processor lies: `python -m tests.helpers.lying_processor node …` takes the options of `heddle`.

In the executions of `LIES_IN` it stores another output than its run came to, and says so under a digest that fits: the
chain cannot tell from the result alone. It lies to whoever asks, also as a juror. In all else it is a node like any.
"""

from dataclasses import replace

from cli.main import main
from node.processor import service
from node.processor.executor import Executor, Finished, Work
from node.processor.runtimes.port import OnBytes, OnProgress, OnText
from pallets.jobs.report import InlineOutput, Succeeded
from pallets.verification.digests import result_digest, work_hash

LIES_IN = (1, 3)
"""The second comes before a jury can have found the first out."""
LIE = b'"a lie"'


class LyingExecutor(Executor):
    """Runs what it is given, and says something else of some of it."""

    async def run(
        self,
        work: Work,
        *,
        on_progress: OnProgress | None = None,
        on_log: OnText | None = None,
        on_checkpoint: OnBytes | None = None,
    ) -> Finished:
        """As the honest one, but for the output."""
        done = await super().run(work, on_progress=on_progress, on_log=on_log, on_checkpoint=on_checkpoint)
        if work.execution not in LIES_IN or not isinstance(done.outcome, Succeeded):
            return done
        self.blobs.store.put(LIE)
        lie = replace(done.outcome, output=InlineOutput(LIE))
        digest = result_digest(work_hash(work.spec, work.execution), lie)
        return Finished(replace(lie, digest=digest), LIE)


if __name__ == "__main__":
    # What the service makes is this one.
    service.Executor = LyingExecutor  # type: ignore[attr-defined]
    main()
