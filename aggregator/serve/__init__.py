"""Serves the output folder over HTTP from memory.

manifest -> load_snapshot -> Snapshot -> ServedState -> FeedsApp (ASGI) -> make_server (uvicorn)
request  -> negotiation   -> one ServedFile, one Variant -> 200 or 304
"""
