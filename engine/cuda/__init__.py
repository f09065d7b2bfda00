"""The engine on a GPU: rows that the device remembers, steps laid out from pinned memory, CUDA graphs, Triton kernels.

Under Triton's interpreter (`TRITON_INTERPRET=1`) the same code runs on a CPU, slowly, and captures no graphs.
"""
