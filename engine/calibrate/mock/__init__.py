"""An OpenAI-compatible server whose step time is known, to measure what the measuring is worth.

It computes nothing: the engine's own scheduler plans steps over the prompts that come in, each takes the milliseconds
that a formula gives, in real time, and its tokens are sent when it ends. So the true latencies of any load are known.

    replica.py   the scheduler in real time
    answers.py   requests as they are read, answers as they are written
    faults.py    servers that misbehave, by the name of the model that is asked for
    __main__.py  the command
"""
