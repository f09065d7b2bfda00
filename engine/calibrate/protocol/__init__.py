"""The phases of a calibration, in order. Each fills `Measured`; told to stop, it keeps what is there.

opening       preflight ─► load ─► warm_up
mapping       reference ─► step_map ─► step_model ─►
prediction      quick: verification (one open-loop level beside its prediction) ─►
sweep           standard, careful: bracket (black box only) ─► verification ─► replication ─►
stress          careful: bursty, prefix_sharing ─►
mapping       reference_again
"""

from engine.calibrate.protocol.ask import TIERS, Ask, TierName, check_fits
from engine.calibrate.protocol.run import calibrate

__all__ = ["TIERS", "Ask", "TierName", "calibrate", "check_fits"]
