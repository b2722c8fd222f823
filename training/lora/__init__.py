"""LoRA: small trained adapters on a frozen model. Read ``config.py``, then ``adapters.py``."""
