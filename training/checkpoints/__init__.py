"""Checkpoints of a run: files, where weights come from, provenance. Read ``files.py`` first."""
