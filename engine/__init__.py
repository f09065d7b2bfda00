"""The LLM engine: paged attention, continuous batching. ENGINE: see docs/engine.md."""
