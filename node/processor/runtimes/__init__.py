"""Job runtimes: WebAssembly, JavaScript and Python scripts, each inside wasmtime inside a worker process.

`port.Pool` is what the node uses: `pool.RuntimePool` on this machine, `cluster.pool.RayPool` on a Ray cluster. `spec`
says what a run is given and `outcome` what it ends in. One run goes pool -> (pipe) -> worker -> sandbox -> guest, and
its calls come back: guest -> calls -> (pipe) -> pool -> the node.
"""
