"""The fonts of a report, which travel with matplotlib: the same page on every machine, also on one without fonts."""

from email.message import Message
from io import BytesIO
from pathlib import Path
from urllib.request import BaseHandler, Request
from urllib.response import addinfourl

import matplotlib

SCHEME = "shipped"
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")


class ShippedFonts(BaseHandler):
    """Answers `shipped:DejaVuSans.ttf` and its like from the package, and nothing else."""

    def shipped_open(self, request: Request) -> addinfourl:
        name = request.full_url.removeprefix(f"{SCHEME}:")
        if name not in FONTS:
            raise ValueError(f"{name!r} is none of the shipped fonts")
        font = Path(matplotlib.get_data_path(), "fonts", "ttf", name).read_bytes()
        return addinfourl(BytesIO(font), Message(), request.full_url, 200)
