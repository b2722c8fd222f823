"""The report of a curation run: tables, charts, evidence, pictures. Read ``report.py`` first."""
