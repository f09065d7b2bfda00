"""Bill and usage files, one module a format. Pure: no Django, no clock, no database.

    file ─► opening ─► csv_text | json_text | parquet ─► cells ─► a format's rows ─► reading ─► UsageRow by bucket

A format is a module as `sniffing.Format` describes it, and a line in `registry`. What reads files is imported by those
who read some: polars has no place in a web process that shows pages.
"""

from costadvisor.spend.formats.row import Charge, CostBasis, Problem, UsageRow

__all__ = ["Charge", "CostBasis", "Problem", "UsageRow"]
