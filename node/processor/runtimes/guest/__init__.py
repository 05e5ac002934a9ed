"""Python that runs inside the sandbox, never in the node."""
