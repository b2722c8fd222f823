"""Lightning callbacks, one concern each. Read ``each_step.py``, then ``checkpointing.py``."""
