"""Measuring what rate one replica sustains at a workload's own lengths inside an SLO. Torch-free."""
