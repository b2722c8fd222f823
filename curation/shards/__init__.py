"""Kept clips -> shards: copies, splits, held-out clips, manifest. Read ``catalogue.py`` first."""
