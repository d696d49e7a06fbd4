"""Files to raw records, by row range: one module a file format; `files` chooses by the file's ending."""
