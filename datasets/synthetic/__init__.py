"""Rendered dancers with ground truth: raw videos and a benchmark. Read ``dataset.py`` first."""
