"""What one replica sustains, measured: see docs/how-it-measures.md. Nothing in here imports torch.

workload, slo ─► protocol ─► target (a worker process, or the simulator) ─► level logs
                    │                                                          │
                    ▼                                                          ▼
                 capacity ◄── step_model ◄────────────────────────────────── metrics
                    │
                    ▼
                  record ─► scaling (to another GPU), comparison, share, plots
"""
