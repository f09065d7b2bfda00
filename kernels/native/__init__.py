"""The decoder's operations in C++, compiled for this machine's CPU where it has a compiler."""
