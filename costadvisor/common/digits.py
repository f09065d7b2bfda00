"""How many digits of a computed number are kept."""


def six_digits(value: float) -> float:
    """More than any measurement has, and they keep a case's bytes the same on every machine."""
    return float(f"{value:.6g}")
