"""Settings of every run: YAML files, and what turns them into frozen dataclasses.

Read ``loading.py`` first.
"""
