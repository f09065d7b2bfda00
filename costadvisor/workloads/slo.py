"""Latency targets by name: p95 of the time to the first token and of the time per output token, in ms.

The first four are MLPerf Inference's server and interactive scenarios.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SloPreset:
    label: str
    ttft_p95_ms: float
    tpot_p95_ms: float


SLO_PRESETS = {
    "mlperf_8b_server": SloPreset("MLPerf Llama 3.1 8B, server", 2000, 100),
    "mlperf_8b_interactive": SloPreset("MLPerf Llama 3.1 8B, interactive", 500, 30),
    "mlperf_70b_server": SloPreset("MLPerf Llama 2 70B, server", 2000, 200),
    "mlperf_70b_interactive": SloPreset("MLPerf Llama 2 70B, interactive", 450, 40),
    "chat": SloPreset("Chat", 200, 50),
    "rag": SloPreset("Retrieval (RAG)", 300, 100),
    "code": SloPreset("Code completion", 500, 150),
}
