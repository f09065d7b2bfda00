"""The one exception for input that the engine refuses."""


class InputError(ValueError):
    """Says what was wrong and what would be right, in one line. Command lines print it and exit with 2."""
