"""Many clips as a few arrays, so that loader workers share their memory.

A list of Python objects is copied page by page into every forked worker as reference counts
change; arrays are not. A row holds what choosing a window needs, and the members' offsets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64

from datasets.shards import IndexedSample

_ABSENT = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipTable:
    """Clips of several roots, row by row.

    Attributes:
        members: names of the indexed members, in the order of ``places``.
        shards: paths; ``shard`` indexes into them.
        root: index of the clip's root.
        garment_frame: frame that the garment was cut out of; -1 if the json does not say.
        places: offset and size of each member in its shard; -1 if it is missing.
    """

    members: tuple[str, ...]
    shards: list[str]
    keys: np.ndarray
    shard: Int32[np.ndarray, " n"]
    root: Int32[np.ndarray, " n"]
    num_frames: Int32[np.ndarray, " n"]
    height: Int32[np.ndarray, " n"]
    width: Int32[np.ndarray, " n"]
    garment_frame: Int32[np.ndarray, " n"]
    places: Int64[np.ndarray, "n m 2"]

    @classmethod
    def of(cls, roots: Sequence[Iterable[IndexedSample]], members: Sequence[str]) -> "ClipTable":
        """Build the table from the samples of each root, in order."""
        shards: dict[str, int] = {}
        rows: list[tuple[int, ...]] = []
        keys: list[bytes] = []
        places: list[list[tuple[int, int]]] = []
        for root, samples in enumerate(roots):
            for sample in samples:
                record = sample.record
                shard = shards.setdefault(str(sample.shard), len(shards))
                size = (int(record.get("height", 0)), int(record.get("width", 0)))
                garment = record.get("garment_frame")
                garment = _ABSENT if garment is None else int(garment)
                rows.append((shard, root, sample.num_frames, *size, garment))
                keys.append(sample.key.encode())
                places.append([sample.members.get(m, (_ABSENT, _ABSENT)) for m in members])
        columns = np.array(rows, np.int32).reshape(-1, 6).T.copy()
        return cls(
            members=tuple(members), shards=list(shards), keys=np.array(keys, np.bytes_),
            shard=columns[0], root=columns[1], num_frames=columns[2], height=columns[3],
            width=columns[4], garment_frame=columns[5],
            places=np.array(places, np.int64).reshape(len(keys), len(members), 2),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.keys)

    def sample(self, row: int) -> IndexedSample:
        """One clip, ready to be read."""
        places = zip(self.members, self.places[row].tolist(), strict=True)
        return IndexedSample(
            key=bytes(self.keys[row]).decode(),
            shard=Path(self.shards[int(self.shard[row])]),
            members={name: (offset, size) for name, (offset, size) in places if size != _ABSENT},
            record={
                "num_frames": int(self.num_frames[row]), "height": int(self.height[row]),
                "width": int(self.width[row]), "garment_frame": int(self.garment_frame[row]),
            },
        )  # fmt: skip
