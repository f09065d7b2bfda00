"""The LLM engine: paged attention, continuous batching. ENGINE: see docs/engine.md."""

import os

# How often an OpenMP thread looks before it sleeps at a barrier. The default spins for milliseconds, so that one busy
# neighbour on the same cores makes a step several times slower; this costs about 2 % when there is none. It is read
# when torch loads OpenMP, and so stands before everything that imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
