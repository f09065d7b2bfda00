"""Other tools' result files as calibration records. Nothing in here imports torch or Django.

file ─► document ─► registry ─► one module a format ─► tool levels ─► rate ─► record
                                        ▲
                       what the person adds: facts, slo
"""

from engine.calibrate.ingest.facts import Facts, Given
from engine.calibrate.ingest.imported import ingest, ingest_files

__all__ = ["Facts", "Given", "ingest", "ingest_files"]
