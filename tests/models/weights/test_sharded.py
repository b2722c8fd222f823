import json
from pathlib import Path

import pytest
import torch

from models.weights.sharded import (
    INDEX,
    MARK,
    Rows,
    check_whole,
    is_sharded,
    join_rows,
    rank_file,
    read_rows,
    read_whole,
)


def written(folder: Path) -> torch.Tensor:
    """Seven rows over three ranks, the last of which has but one."""
    table = torch.arange(14.0).reshape(7, 2)
    folder.mkdir()
    content = {"state": {"a": f"{MARK}/state/a"}, "step": 3, "name": "plain"}
    for rank, rows in enumerate((table[:3], table[3:6], table[6:])):
        held = {"shards": {"/state/a": rows.clone()}}
        torch.save(held | ({"content": content} if rank == 0 else {}), rank_file(folder, rank))
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    (folder / INDEX).write_text(json.dumps({"bytes": sizes}))
    return table


def test_rows_are_put_together_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    table = written(tmp_path / "c.ckpt")
    assert is_sharded(tmp_path / "c.ckpt")
    content = read_whole(tmp_path / "c.ckpt")
    assert torch.equal(content["state"]["a"], table)
    assert (content["step"], content["name"]) == (3, "plain")
    assert set(read_whole(tmp_path / "c.ckpt", only=["step"])) == {"step"}


@pytest.mark.parametrize(("start", "stop"), [(0, 7), (2, 4), (3, 3), (5, 7), (7, 7)])
def test_any_rows_can_be_taken_wherever_they_lie(tmp_path: Path, start: int, stop: int) -> None:
    table = written(tmp_path / "c.ckpt")
    rows = read_rows(tmp_path / "c.ckpt")["state"]["a"]
    assert isinstance(rows, Rows)
    assert torch.equal(rows.between(start, stop), table[start:stop])
    assert torch.equal(join_rows([rows])[0], table)


def test_a_missing_or_damaged_file_of_one_rank_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "c.ckpt"
    table = written(folder)
    check_whole(folder)
    file = rank_file(folder, 1)
    content = bytearray(file.read_bytes())
    content[content.index(table[3:6].numpy().tobytes())] ^= 255
    file.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"rank-00001\.ckpt is damaged"):
        check_whole(folder)
    file.write_bytes(bytes(content[:-5]))
    with pytest.raises(ValueError, match=r"rank-00001\.ckpt is missing or truncated"):
        read_rows(folder)
