"""Writes of this room: `jobs` (what people do), `leases` (what workers and the reaper do), `records`."""
