"""Output: documents -> the files of the output folder."""
