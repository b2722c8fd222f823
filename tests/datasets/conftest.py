from pathlib import Path

import pytest

from tests.shard_fixtures import write_shards


@pytest.fixture(scope="session")
def shard_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated folder of six small clips."""
    return write_shards(tmp_path_factory.mktemp("dance"), {"train": 4, "val": 2})
