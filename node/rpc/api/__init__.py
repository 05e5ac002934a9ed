"""The JSON-RPC methods: what Substrate clients call, and Heddle's own jobs_*, processors_*, blobs_* and finality_*."""
