"""Requests a second of a server of rewards: `basereward serve`'s engine against one padded forward pass a request.

`__main__` measures; `asked` makes the requests, `servers` is what each side runs, `load` sends requests to it.
"""
