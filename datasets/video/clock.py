"""One continuous time for a video, whatever its time stamps do.

Joined recordings (``cat a.ts b.ts``) begin their clock again, a transport stream may start before
zero, and raw H.264 has no time stamps at all. Frames get times that always rise: a recording that
follows another starts one frame after it ends.
"""

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from av.error import FFmpegError

from datasets.media_files import open_media, video_streams
from datasets.video.parts import parts_of

DISCONTINUOUS_FORMATS = ("mpegts", "mpeg", "flv")
"""Containers without an index whose files are joined by appending them."""
MIN_STEP_BACK_S = Fraction(1, 4)  # less is a wrong time stamp of a single frame
MAX_STEP_AHEAD_S = 10  # in these containers; FFmpeg's -dts_delta_threshold
_STEPS_BACK = 3  # frames


class Clock:
    """Gives decoded frames their times; ``joins`` lists where another recording begins."""

    def __init__(self, rate: Fraction, container_format: str) -> None:
        self.joins: list[Fraction] = []
        self._step = 1 / rate
        self._may_jump = container_format in DISCONTINUOUS_FORMATS
        self.offset = Fraction(0)  # from time stamps to times
        self._last: Fraction | None = None
        self._last_stamps: list[Fraction | None] = [None, None]
        self._faults = [0, 0]
        self._is_new = False

    def begin_recording(self, rate: Fraction) -> None:
        """The next frame is the first of another recording, which follows at once."""
        self._step, self._is_new = 1 / rate, self._last is not None
        self._last_stamps = [None, None]
        self._faults = [0, 0]

    @property
    def now(self) -> Fraction:
        """The time of the last frame; 0 before the first."""
        return self._last or Fraction(0)

    def place(self, pts: Fraction | None, dts: Fraction | None = None) -> Fraction | None:
        """The time in seconds of the next frame; None: drop it, its time stamp is wrong.

        Args:
            pts: its presentation time stamp in seconds; None: it has none.
            dts: when it was to be decoded, which rises also in files whose ``pts`` do not (AVI
                with B-frames).
        """
        stamp, last = self._best(pts, dts), self._last
        if last is None:
            self.offset = -min(stamp or Fraction(0), Fraction(0))
            self._last = (stamp or Fraction(0)) + self.offset
            return self._last
        time = last + self._step if stamp is None else stamp + self.offset
        back = last - time
        is_join, self._is_new = self._is_new, False
        is_join = (
            is_join
            or back > max(MIN_STEP_BACK_S, _STEPS_BACK * self._step)
            or (self._may_jump and -back > MAX_STEP_AHEAD_S)
        )
        if is_join:
            self.offset += last + self._step - time
            time = last + self._step
            self.joins.append(time)
        elif time <= last:
            return None
        self._last = time
        return time

    def _best(self, pts: Fraction | None, dts: Fraction | None) -> Fraction | None:
        """The time stamp that has gone back less often so far, as FFmpeg chooses it."""
        for which, stamp in enumerate((pts, dts)):
            last = self._last_stamps[which]
            if stamp is not None:
                self._faults[which] += last is not None and stamp <= last
                self._last_stamps[which] = stamp
        is_pts = pts is not None and (dts is None or self._faults[0] <= self._faults[1])
        return pts if is_pts else dts


def is_seekable(path: Path) -> bool:
    """Whether times of the container are times of ``Clock``, so that seeking finds a moment."""
    status = path.stat()
    return _is_seekable(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _is_seekable(path: str, num_bytes: int, changed_ns: int) -> bool:
    """Reads the packets of a discontinuous container, without decoding them."""
    try:
        with open_media(path) as container:
            streams = video_streams(container)
            if not streams or (streams[0].start_time or 0) < 0 or len(parts_of(Path(path))) > 1:
                return False
            if container.format.name not in DISCONTINUOUS_FORMATS:
                return True
            last: Fraction | None = None
            for packet in container.demux(streams[0]):
                if packet.dts is None or packet.time_base is None:
                    continue
                time = packet.dts * packet.time_base
                if last is not None and not -MIN_STEP_BACK_S < time - last < MAX_STEP_AHEAD_S:
                    return False
                last = time
    except FFmpegError:
        return False
    return True
