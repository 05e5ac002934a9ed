"""JSON-RPC over HTTP and WebSocket on one port, without any framework (reference: h11 and websockets, sans I/O)."""
