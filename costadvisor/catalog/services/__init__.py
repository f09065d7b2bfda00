"""Writes of this room: `refresh` (what price lists say) and `quotes` (what the organization was offered)."""
