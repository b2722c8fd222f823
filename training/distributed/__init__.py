"""Several processes or devices: ranks, global batch, FSDP2. Read ``ranks.py`` first."""
