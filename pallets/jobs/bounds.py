"""The named bounds of a job. Each list, text and number of a specification has one."""

SLOTS_MAX = 64
EXECUTIONS_MAX = 100_000
"""Executions of one job (spec/job-layer.md §1)."""
EXECUTIONS_TIMES_SLOTS_MAX = 1_000_000

CID_BYTES = 36
CID_PREFIX = b"\x01\x55\x12\x20"
"""CIDv1, raw codec, sha2-256 of 32 bytes: the only form of a blob's name."""
CID_BYTES_MAX = 64
SCRIPT_BYTES_MAX = 4 << 20
BLOB_BYTES_MAX = 32 << 20
INLINE_BYTES_MAX = 4_096
PARTS_MAX = 256
"""Inputs of one job over many."""
SCRIPT_VERSIONS_MAX = 8
"""Scripts of one job that executions still to come depend on."""
ENTRYPOINT_BYTES_MAX = 64

PROCESSORS_LISTED_MAX = 64
REPUTATION_PPM_MAX = 1_000_000

YEAR_MS = 366 * 24 * 3_600_000
DURATION_MS_MAX = 24 * 3_600_000
START_DELAY_MS_MAX = 24 * 3_600_000
HORIZON_MS = 90 * 24 * 3_600_000
"""The latest end of a schedule, from registration (spec/job-layer.md §1)."""

MEMORY_BYTES_MIN = 1 << 16
MEMORY_BYTES_MAX = 64 << 30
STORAGE_BYTES_MAX = 1 << 40
NETWORK_REQUESTS_MAX = 1_000
FUEL_MAX = 1 << 48
OUTPUT_BYTES_MAX = BLOB_BYTES_MAX

LABEL_BYTES_MAX = 32
MODULES_MAX = 8
LABELS_MAX = 8
ENVIRONMENT_NAMES_MAX = 16
NAME_BYTES_MAX = 64
FETCH_HOSTS_MAX = 16
HOST_BYTES_MAX = 253

DESTINATIONS_MAX = 4
URL_BYTES_MAX = 256
REFERENCE_BYTES_MAX = 64
VERIFYING_KEY_BYTES_MAX = 4_096

REPLICAS_MAX = 15
"""Slots whose results are compared: more would not be safer, and each is read when the round is tallied."""
CREDIBILITY_SLOTS = 8
TRUST_MIN, TRUST_MAX = 2, 1 << 32
STAKE_MULTIPLE_MIN, STAKE_MULTIPLE_MAX = 12, 100
WINDOW_MS_MIN, WINDOW_MS_MAX = 10_000, 7 * 24 * 3_600_000
REEXECUTION_MS_MIN = 100_000
"""Beyond twice the duration: for fetching, running again and challenging (spec/job-layer.md §5)."""
WINDOW_INTERVALS_MAX = 12
"""A window of so many intervals leaves room among the AWAITING_PER_SLOT_MAX results that may wait."""

ATTEMPTS_MAX = 10
LOST_MAX = 10
BACKOFF_MS_MAX = 24 * 3_600_000
BACKOFF_TERM_MAX = 1_000
ACKNOWLEDGE_SLOTS_MIN = 10
ACKNOWLEDGE_SLOTS_MAX = 300
QUEUE_MS_MIN = 60_000
QUEUE_MS_MAX = 7 * 24 * 3_600_000

REWARD_MAX = 10**24
"""A million million HDL: sums over EXECUTIONS_TIMES_SLOTS_MAX stay far inside a u128."""

MESSAGE_BYTES_MAX = 128
LIVE_PER_SLOT_MAX = 4
AWAITING_PER_SLOT_MAX = 16
"""Results of a slot that wait for their judgment. Fewer than β of a single replica: a bond outweighs all it covers."""
RESULTS_PER_SLOT_MAX = 16
RECORDS_PER_SLOT_MAX = RESULTS_PER_SLOT_MAX + LIVE_PER_SLOT_MAX
"""The results, and what was under way when the job ended."""
MARKS_PER_JOB_MAX = 64
OPEN_JOBS_PER_OWNER_MAX = 1_000
LANE_CONCURRENCY_MAX = 64
PRIORITY_MAX = 31
"""A queue has a line for each priority; age makes up for the difference of all in about nine thousand slots."""
INPUT_UNAVAILABLE_MAX = 3
"""Managers who could not have the input, after which the job fails (spec/job-layer.md §1)."""
