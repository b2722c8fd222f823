"""Memory, FLOPs and time of a run, before it starts. Read ``memory.py`` first."""
