"""How work is distributed: processes or Ray, job parts, the lock. Read ``executor.py`` first."""
