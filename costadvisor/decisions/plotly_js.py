"""plotly.js as a static file, straight out of the plotly package: no CDN, no copy in the repository."""

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage

FILE = "plotly.min.js"
PREFIX = "plotly"


class PlotlyFolder(FileSystemStorage):
    prefix = PREFIX  # where its files appear under /static/


class PlotlyFinder(BaseFinder):
    """Finds that one file; the package is located, not imported, for importing it is slow."""

    def __init__(self) -> None:
        spec = find_spec("plotly")
        folder = Path(spec.origin).parent / "package_data" if spec and spec.origin else Path()
        self.storage = PlotlyFolder(location=folder)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        found = self.storage.path(FILE) if path == f"{PREFIX}/{FILE}" else None
        if find_all:
            return [found] if found else []
        return found

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[Any]:
        yield FILE, self.storage
