"""Published benchmarks, read and validated up front. Read ``benchmark.py`` first."""
