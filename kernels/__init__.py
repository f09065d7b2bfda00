"""One operation a file; reference.py has the same operations in plain PyTorch."""
