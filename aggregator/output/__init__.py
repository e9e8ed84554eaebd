"""Documents -> the files of the output folder."""
