"""What `make curate-explain` adds to the checks: what would turn a verdict, what was cut off."""
