"""The source's first audio track in the result: copied where MP4 can hold it, else coded as AAC."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.error import FFmpegError

from datasets.video.clock import Clock
from datasets.video.parts import parts_of
from datasets.video.reader import open_video
from inference.video.source import SourceVideo

COPIED_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
_AAC_BITS_PER_S = 192_000
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_MAX_CHANNELS = 8
_DEFAULT_RATE = 48_000

_logger = logging.getLogger(__name__)


class Sound:
    """Packets of sound, written along with the pictures."""

    def __init__(self, container: Any, source: SourceVideo) -> None:
        self._packets: Iterator[Any] = iter(())
        self._container = container
        self._input: Any = None
        self._pending: Any = None
        self._priming = Fraction(0)
        self._path, self._name = source.path, source.path.name
        if source.audio_codec is None:
            return
        spans = parts_of(source.path)
        self._input, _ = open_video(source.path, spans[0] if len(spans) > 1 else None)
        stream = self._input.streams.audio[0]
        self._clock = Clock(Fraction(stream.rate or _DEFAULT_RATE) / 1024, self._input.format.name)
        if source.audio_codec in COPIED_CODECS:
            out = container.add_stream_from_template(stream)
            self._packets = self._copied(stream, out)
        else:
            _logger.info("%s: its sound (%s) is coded as AAC", self._name, source.audio_codec)
            out = _aac_stream(container, stream)
            self._packets = self._coded(stream, out)
        self._pending = next(self._packets, None)
        # encoders put a packet of priming before time 0; it is part of the sound
        if self._pending is not None:
            self._priming = min(Fraction(0), self._pending.pts * self._pending.time_base)

    def mux_until(self, time: Fraction | None, first: Fraction) -> None:
        """Write packets that start before ``time`` (None: all); the pictures begin at ``first``."""
        while self._pending is not None:
            packet = self._pending
            if time is not None and packet.dts * packet.time_base > time:
                return
            shift = round(first / packet.time_base)
            # sound before the first picture is dropped
            if packet.pts >= shift + round(self._priming / packet.time_base):
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                self._container.mux(packet)
            self._pending = next(self._packets, None)
        if time is None and self._input is not None:
            self._input.close()

    def _demuxed(self, stream: Any) -> Iterator[Any]:
        """Packets of the first recording, and of those that were appended to it."""
        yield from self._demuxed_part(self._input, stream)
        for span in parts_of(self._path)[1:]:
            container, _ = open_video(self._path, span)
            with container:
                other = next(iter(container.streams.audio), None)
                if other is None or _kind(other) != _kind(stream):
                    _logger.warning("%s: its sound ends where another recording begins", self._name)
                    return
                self._clock.begin_recording(Fraction(other.rate or _DEFAULT_RATE) / 1024)
                yield from self._demuxed_part(container, other)

    def _demuxed_part(self, container: Any, stream: Any) -> Iterator[Any]:
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                _logger.warning("%s: its sound ends early: %s", self._name, error.strerror)
                return
            if packet is None:
                return
            yield packet

    def _copied(self, stream: Any, out: Any) -> Iterator[Any]:
        for packet in self._demuxed(stream):
            if packet.dts is None or packet.pts is None:
                continue
            stamp = packet.pts * packet.time_base
            if self._clock.place(stamp) is None:
                continue
            shift = round(self._clock.offset / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = out
            yield packet

    def _coded(self, stream: Any, out: Any) -> Iterator[Any]:
        context = out.codec_context
        resampler = av.AudioResampler(
            format="fltp", layout=context.layout, rate=context.sample_rate, frame_size=1024
        )
        for packet in self._demuxed(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue  # a damaged packet; the sound continues after it
            for frame in frames:
                if frame.pts is None:
                    continue
                time = self._clock.place(frame.pts * frame.time_base)
                if time is None:
                    continue
                frame.pts = round(time / frame.time_base)
                for part in resampler.resample(frame):
                    yield from out.encode(part)
        for part in resampler.resample(None):
            yield from out.encode(part)
        yield from out.encode(None)


def _kind(stream: Any) -> tuple[str, int, int]:
    """What packets of one output stream must share."""
    context = stream.codec_context
    return context.name, stream.rate, context.channels


def _aac_stream(container: Any, stream: Any) -> Any:
    rate = stream.rate if stream.rate in _AAC_RATES else _DEFAULT_RATE
    out = container.add_stream("aac", rate=rate)
    channels = stream.codec_context.channels
    out.codec_context.layout = "mono" if channels == 1 else "stereo"
    out.codec_context.bit_rate = _AAC_BITS_PER_S
    return out
