"""Pages: `decisions` (list, new, one with its what-ifs), `options`, `recommendations` (versions and their check)."""
