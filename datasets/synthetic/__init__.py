"""Rendered dancers, whose truth is known: raw videos and a benchmark. Read ``dataset.py`` first."""
