"""Jobs: from a registered specification to a settled end (spec/job-layer.md §2)."""
