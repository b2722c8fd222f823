"""Shards -> batches, resumable and seeded per sample. Read ``datamodule.py`` first."""
