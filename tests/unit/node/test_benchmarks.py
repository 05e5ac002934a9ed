"""The benchmarks' workloads: what they measure is what they say, on a chain small enough for a test."""

from pathlib import Path

from node.jobs_benchmark import JobsWorkload, measure_jobs
from runtime.extrinsic import ExtrinsicCache


def test_a_batch_takes_every_job_from_registration_to_its_end(tmp_path: Path) -> None:
    """Five transactions a job, imported block by block; all jobs succeed, nothing stays held, every invariant holds."""
    workload = JobsWorkload(tmp_path, jobs=5, processors=3, accounts=50)
    chain = workload.chain
    importing = chain.new_executive(ExtrinsicCache())
    workload.advertise(importing)
    sent = 0
    for transactions in workload.batch():
        chain.import_block(chain.make_block(transactions), importing)
        sent += len(transactions)
    assert sent == 5 * 5
    runtime = chain.look()
    runtime.check_state()
    assert not any(runtime.jobs.is_live(job) for job in range(5))
    assert all(runtime.escrow.ledgers.get(job).pots.total() == 0 for job in range(5))
    chain.store.close()


def test_the_figures_are_a_ratio_of_rates() -> None:
    """A measurement on a tiny chain gives rates above zero, and their ratio under its name."""
    figures = measure_jobs(batches=1, jobs=3, accounts=50, processors=2)
    assert figures.lifecycles_per_second > 0
    assert figures.lifecycles_per_raw_verify == figures.lifecycles_per_second / figures.raw_verify_per_second
