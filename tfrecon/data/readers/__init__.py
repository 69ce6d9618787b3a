"""One reader per raw format; each turns files into records."""
