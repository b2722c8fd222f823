"""Public weights: what there is, fetching with resume, checks. Read catalogue.py first."""
