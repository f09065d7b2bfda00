"""What is sent: which lengths, with which prompts, arriving how.

file ─► traffic ─► (a level's lengths) ─► requests ─► prompts
        reads its lengths from a pair, a mix, distributions or a trace
"""

from engine.calibrate.workload.file import workload_fixed, workload_read
from engine.calibrate.workload.lengths import Content, Corpus, Lengths, Span
from engine.calibrate.workload.traffic import Workload

__all__ = ["Content", "Corpus", "Lengths", "Span", "Workload", "workload_fixed", "workload_read"]
