"""The load client: one process that does nothing but send requests to an OpenAI-compatible server and time the answers.

address.py   which servers may be spoken to, and at which address
prompts.py   what is sent: token ids, or words where a server takes no ids
wire.py      one request: its body, the stream that comes back, and what can go wrong with it
levels.py    open and closed loops of requests
timer.py     sleeping until a moment, to a tenth of a millisecond
__main__.py  the process: JSON lines in, JSON lines out
"""
