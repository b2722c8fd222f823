"""Numbers that are raised when code changes what comes out: what is stored is then rebuilt.

``training/experiments/fingerprints.py`` reads this file, too: ablations and the demo retrain.
"""

VERSION = 19
"""Of the stages: everything of a source is done again."""
EMBEDDED_PARSER = 9
"""Of the embedded parser's labels: label maps and what follows from them."""
MASKS = 2
"""Of the inpainting masks: masks and agnostic frames, from the stored labels and surfaces."""
