"""The service: cycles on schedule, for changed files, at due times and for a new config, beside HTTP.

    APScheduler ─┐                              ┌─> snapshot ─> HTTP
    FolderWatch ─┼─> CycleRequests ─> Worker ───┤
    Monitor     ─┘   (and new configs)          └─> the timer of the next due entry

Triggers only request cycles; the worker runs them, one at a time.
"""
