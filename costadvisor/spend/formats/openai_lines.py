"""OpenAI's line items: `gpt-4o-2024-08-06, input`, `gpt-4o-mini, cached input`, `web search tool calls`."""

import polars as pl

from costadvisor.spend.formats.cells import Cells
from costadvisor.spend.formats.meters import token_kind
from costadvisor.spend.formats.values import name

_TOOLS = ("search", "tool", "interpreter", "session", "moderation")
_STORAGE = ("storage", "vector store")


def line_items(cells: Cells) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Model, charge and kind of token of every row's `line_item`."""
    text = cells.text("line_item")
    model = cells.each(text, "line_item", _model)
    charge = cells.each(text, "line_item", _charge)
    return model, charge, cells.each(text, "line_item", lambda one: token_kind(one.partition(",")[2]))


def _model(line_item: str) -> str:
    model = line_item.partition(",")[0].strip()
    return name("line_item", model, required=False) if _charge(line_item) == "usage" else ""


def _charge(line_item: str) -> str:
    """Without a line item everything is in one sum, most of it tokens."""
    low = line_item.lower()
    if any(word in low for word in _STORAGE):
        return "storage"
    if "," not in low and any(word in low for word in _TOOLS):
        return "tool"
    return "credit" if "credit" in low else "usage"
