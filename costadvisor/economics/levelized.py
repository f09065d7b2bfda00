"""Levelized cost of AI inference (LCOAI): what an option costs over the horizon, for each million tokens."""

import numpy as np

from costadvisor.economics.case import Case
from costadvisor.economics.months import discount_factors


def levelized_usd_per_mtok(case: Case, tco_usd: float, *, discounted: bool = True) -> float:
    """Cost over tokens, both discounted or neither: the one price that, paid for every token, would cost as much.

    Tokens are input and output together, of the case's own volume and growth; a total is of the same kind as asked for.
    """
    months = np.arange(case.horizon_months)
    volume = np.power(1 + float(case.workload.growth_per_month), months)
    weights = (
        discount_factors(case.discount_rate_per_year, case.horizon_months)[1:] if discounted else np.ones(months.size)
    )
    workload = case.workload
    tokens = float(
        workload.requests_per_month * ((workload.input_tokens.mean or 0) + (workload.output_tokens.mean or 0))
    )
    return tco_usd / (tokens * float(volume @ weights)) * 1e6
