"""Where work runs: processes, threads, a cluster. What the work is, is not known here."""
