"""Pages for people: the shell and the parts of figures that all of them share. Pure text; knows no data."""
