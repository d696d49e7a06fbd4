"""The command line: `commands` is the one table of commands, `parser` makes grammar and help of it, `main` runs one.

`command` has the kinds of commands. A command's own code is imported only when it is called.
"""
