"""Raw videos -> clean, reproducible shards, every decision explained.

Read ``run.py`` first.
"""
