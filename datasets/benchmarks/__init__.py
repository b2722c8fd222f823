"""Published benchmarks, read and checked before any work. Read ``benchmark.py`` first."""
