"""One operation a file, in Triton. reference.py has them in plain PyTorch: the backend of CPUs, and the oracle."""
