"""How a service says no."""


class Refusal(Exception):
    """A request that cannot be carried out: `str()` is one clear line, `field` names the input at fault."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
