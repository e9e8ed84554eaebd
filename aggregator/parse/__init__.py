"""Parse: the bytes of one file -> a Record, or the reason why there is none. Pure."""
