"""Writes of this room: `decisions` (the case) and `recommendations` (versions and their signatures)."""
