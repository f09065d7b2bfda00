"""The example: `fixtures/demo` taken through every room, in an organization of its own beside the real ones.

`example` loads it (what `make run` shows), `measurement` calibrates this machine, `answer` decides and writes files.
"""
