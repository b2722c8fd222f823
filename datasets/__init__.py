"""Shards -> batches (this project's package, not Hugging Face's ``datasets`` of the same name).

Read ``sample.py`` first.
"""


def __getattr__(name: str) -> object:
    if name in {"Dataset", "load_dataset", "DatasetDict", "IterableDataset", "Features"}:
        raise ImportError(
            f"'datasets.{name}' belongs to Hugging Face's package; this checkout's own 'datasets' "
            "folder comes first on the path. Run programs that need it outside the checkout."
        )
    raise AttributeError(f"module 'datasets' has no attribute {name!r}")
