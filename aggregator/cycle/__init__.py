"""One cycle, from the scan of the folders to published documents; and its rehearsal."""
