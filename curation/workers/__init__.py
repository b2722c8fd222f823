"""How work is spread: processes or Ray, parts of a folder, its lock. Read ``executor.py`` first."""
