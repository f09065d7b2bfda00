"""The one error that this package raises for a case it refuses."""


class CaseError(ValueError):
    """A case that can't be used: `path` of the field (options by id), what is wrong and what would be right."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy
