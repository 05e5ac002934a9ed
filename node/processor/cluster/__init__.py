"""Runs on a Ray cluster: the node speaks frames with a bridge, and the bridge speaks Ray.

    node: pool.RayPool -> connection.Connection -> (pipe) -> bridge process -> (Ray) -> place.Place -> (pipe) -> worker

Only the bridge process imports Ray, so that nothing which the cluster sends can reach the node but bytes in our frames,
and Ray's end is the bridge's alone. The worker at the far end is the one that runs scripts on a single machine.
"""
