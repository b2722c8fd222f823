"""Settings of every run: YAML files, and the code that loads them into frozen dataclasses.

Read ``loading.py`` first.
"""
