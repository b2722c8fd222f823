"""Windows of stored clips, decoded within a time limit; small data sets are kept in memory."""

import cv2
import numpy as np

from datasets.bad_samples import UnreadableClipError
from datasets.clips import ClipTracks, decode_tracks, with_garment_region, with_places
from datasets.loading.watchdog import Watchdog
from datasets.sample import SampleFormat
from datasets.shards import GARMENT_REGION_MEMBERS, TRACK_MEMBERS, IndexedSample


class ClipReader:
    """Decodes windows; caches whole decoded clips until its memory is used up.

    Args:
        cache_mb: memory for decoded clips.
        timeout_s: a read that takes longer is abandoned and counts as bad; 0: no limit.
        needs_garment_region: also decode the garment's region.
        format: of the conditions.
    """

    def __init__(
        self,
        cache_mb: int = 0,
        timeout_s: float = 0.0,
        *,
        needs_garment_region: bool = False,
        format: SampleFormat | None = None,
    ) -> None:
        self.format = format or SampleFormat()
        self.needs_garment_region = needs_garment_region
        self._room = cache_mb * 2**20
        self._kept: dict[tuple[str, str, int, int], ClipTracks] = {}
        self._watchdog = Watchdog(timeout_s)

    def read(
        self,
        clip: IndexedSample,
        indices: list[int],
        size: tuple[int, int],
        *,
        mirror: bool = False,
    ) -> ClipTracks:
        """The clip's frames at these indices, resized to (height, width).

        Raises:
            UnreadableClipError: it cannot be read, or not within the time limit.
        """
        place = (str(clip.shard), clip.key, *size)
        if place in self._kept and not mirror:
            return self._kept[place].select(indices)
        keep = not mirror and self._room >= clip.num_frames * size[0] * size[1] * 8
        wanted = None if keep else indices
        from decord import DECORDError  # after torch, as in tracks.py

        try:
            tracks = self._watchdog.run(lambda: self._decode(clip, wanted, size, mirror))
        except (ValueError, LookupError, RuntimeError, OSError, EOFError, DECORDError,
                cv2.error) as error:  # fmt: skip
            raise UnreadableClipError.of(clip.shard, clip.key, error) from error
        if not keep:
            return tracks
        self._room -= tracks.num_bytes
        self._kept[place] = tracks
        return tracks.select(indices)

    def _decode(
        self, clip: IndexedSample, indices: list[int] | None, size: tuple[int, int], mirror: bool
    ) -> ClipTracks:
        region = GARMENT_REGION_MEMBERS if self.needs_garment_region else ()
        sample = clip.read((*TRACK_MEMBERS, *region))
        scale = self.format.garment_scale
        tracks = decode_tracks(sample, indices, *size, mirror=mirror, garment_scale=scale)
        if self.needs_garment_region:
            tracks = with_garment_region(tracks, sample, indices, mirror=mirror)
        if self.format.places:
            tracks = with_places(tracks, sample, mirror=mirror)
        return tracks


def nearest_size(height: int, width: int, sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """The size nearest to a clip's in aspect ratio; ties go to the nearest in area."""

    def distance(size: tuple[int, int]) -> tuple[float, float]:
        aspect = abs(np.log(size[0] / size[1]) - np.log(height / width))
        area = abs(np.log(size[0] * size[1]) - np.log(height * width))
        return round(float(aspect), 6), float(area)

    return min(sizes, key=distance)
