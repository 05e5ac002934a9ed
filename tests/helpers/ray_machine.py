"""`python -m tests.helpers.ray_machine start ...`: Ray's own command, for machines that are all on 127.0.0.1.

Ray binds to loopback only where it is told that this is no machine of a cluster, and its command then refuses to add a
second one. Here both are wanted: nothing of a test's cluster may be reached from elsewhere.
"""

import os
import sys
from types import SimpleNamespace

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

if __name__ == "__main__":
    from ray._private import ray_constants
    from ray.scripts import scripts

    scripts.ray_constants = SimpleNamespace(**{**vars(ray_constants), "ENABLE_RAY_CLUSTER": True})
    sys.exit(scripts.main())
