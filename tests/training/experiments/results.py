"""JSONs as ``judge`` writes them, for tests of what reads them."""


def result(variant: str, right: int, seed: int = 0) -> dict:
    """A JSON as ``judge`` writes it, of twelve clips of which so many are right."""
    scores = [
        {"clip": f"c{i}", "delta_e": 4.0 + i % 3 + seed if i < right else 30.0 + i % 5,
         "ssim": 0.7 if i < right else 0.4, "last_ssim": 0.6,
         "said": "dots" if i < right else "plain", "true": "dots"}
        for i in range(12)
    ]  # fmt: skip
    methods = ("painted", "agnostic", "mean colour", "truth")
    return {
        "variant": variant, "seed": seed, "device": "cpu", "threads": 2,
        "settings": {"bench": "nowhere"},
        "methods": {m: {"clips": 12, "scores": scores} for m in methods},
        "classifier": {"by_clip": 0.97, "test_clips": 100}, "code": {"commit": "0123456789abcdef"},
    }  # fmt: skip
