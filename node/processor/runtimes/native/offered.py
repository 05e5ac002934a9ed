"""Which native runtimes work on this machine."""

from __future__ import annotations

from node.log import logger
from node.processor.runtimes.native.bubblewrap import why_not
from node.processor.runtimes.spec import LANGUAGES

log = logger("processor")


def native_runtimes() -> tuple[str, ...]:
    """Those that work here; why others do not goes into the log."""
    reasons = {runtime: why_not(runtime) for runtime in LANGUAGES}
    for runtime, reason in reasons.items():
        if reason:
            log.warning("native runtime not offered", runtime=runtime, reason=reason)
    return tuple(runtime for runtime, reason in reasons.items() if not reason)
