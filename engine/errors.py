"""What the engine refuses, and what ends it."""


class InputError(ValueError):
    """Says what was wrong and what would be right, in one line. Command lines print it and exit with 2."""


class RankFailed(RuntimeError):
    """A process of a tensor-parallel engine broke down, and with it the engine. Command lines print it; exit 1."""
