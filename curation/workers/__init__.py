"""How work is distributed: processes or Ray, job parts. Read ``executor.py`` first."""
