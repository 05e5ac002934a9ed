"""Job runtimes: WebAssembly, JavaScript and Python scripts, each inside wasmtime inside a worker process.

`pool.RuntimePool` is what the node uses; `spec` says what a run is given and `outcome` what it ends in. One run goes
pool -> (pipe) -> worker -> sandbox -> guest, and its calls come back: guest -> calls -> (pipe) -> pool -> the node.
"""
