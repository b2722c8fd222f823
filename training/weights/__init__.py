"""Public weights: catalogue, downloads with resume, checks. Read ``catalogue.py`` first."""
