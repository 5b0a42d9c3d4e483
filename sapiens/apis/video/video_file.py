"""Reading and writing of video files frame by frame, with sound, by PyAV (``pip install av``)."""

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from sapiens.datasets.transforms.decoding import BadImage
from sapiens.utils.files import move_into_place, temporary_path
from sapiens.utils.optional import require

__all__ = ['Camera', 'Frame', 'VideoReader', 'VideoWriter', 'open_frames']

# Audio codecs that an MP4 file can hold.
IN_MP4 = ('aac', 'mp3', 'ac3', 'eac3', 'alac', 'opus')
# Unit of the times of written frames in seconds, as in MPEG: a multiple of the usual frame rates.
TICK = Fraction(1, 90000)
# A file is truncated if its frames end this much before its length: seconds, and a fraction of the length.
SHORT = (Fraction(1), Fraction(1, 50))


class Frame(NamedTuple):
    """A picture of a video.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        time: when it is shown, in seconds from the start of the video. It increases from frame to frame.
        duration: for how long at least, in seconds; 0 if unknown.
    """

    pixels: np.ndarray
    time: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)


def open_frames(source: str) -> 'VideoReader | Camera':
    """Open a video file, or a camera by its number."""
    return Camera(int(source)) if source.isdigit() else VideoReader(source)


class VideoReader:
    """Frames of a file, upright, in display order, at their presentation times.

    Attributes:
        rate: frames per second, on average.
        count: number of frames according to the file; 0 if unknown.

    Raises:
        ImportError: PyAV is not installed.
        BadImage: the file has no video.
    """

    def __init__(self, path: str | Path) -> None:
        av = require('av', f'reading the video {path}')
        self.path = str(path)
        try:
            self.container = av.open(self.path)
        except (OSError, ValueError) as error:  # PyAV's errors are of these types too
            raise BadImage(
                f'{self.path}: not a readable video ({getattr(error, "strerror", None) or error})'
            ) from error
        if not self.container.streams.video:
            raise BadImage(f'{self.path} has no video in it')
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = 'AUTO'
        self.rate = Fraction(self.stream.average_rate or self.stream.guessed_rate or 25)
        self.count = self.stream.frames or round(self._length() * self.rate)

    def __iter__(self) -> Iterator[Frame]:
        """Raises BadImage where the rest cannot be decoded or is missing."""
        import av

        number, end, cut, last = 0, Fraction(0), False, -1 / self.rate
        length, start = self._length(), _start(self.container)
        try:
            for packet in self.container.demux(self.stream):
                cut = packet.is_corrupt if packet.size else cut
                for frame in packet.decode():
                    duration = (frame.duration or 0) * frame.time_base
                    at = last + 1 / self.rate  # some AVI files have no times
                    if frame.pts is not None:
                        at = frame.pts * frame.time_base - start
                        if at < last - 1:  # joined recordings start again
                            start -= last + 1 / self.rate - at
                            at = last + 1 / self.rate
                        end = max(end, at + max(duration, 1 / self.rate))
                    last = max(at, last + frame.time_base)  # damaged files repeat times
                    number += 1
                    turns = round(-float(getattr(frame, 'rotation', 0) or 0) / 90) % 4
                    pixels = frame.to_ndarray(format='rgb24')
                    yield Frame(np.ascontiguousarray(np.rot90(pixels, -turns)) if turns else pixels, last, duration)
        except av.error.FFmpegError as error:
            raise BadImage(f'{self.path}: frame {number}: {type(error).__name__}: {error}') from error
        finally:
            self.container.close()
        # Some formats end without an error where the file is truncated.
        if cut or end < length - max(SHORT[0], SHORT[1] * length):
            raise BadImage(
                f'{self.path} is truncated after {float(end):.1f} of {float(length):.1f} seconds, frame {number}'
            )

    def _length(self) -> Fraction:
        """Return the length in seconds according to the file; 0 if unknown."""
        if self.stream.duration:
            return self.stream.duration * self.stream.time_base
        # Matroska and WebM: '00:00:06.000000000', the time of the end.
        parts = self.stream.metadata.get('DURATION', '').split(':')
        try:
            hours, minutes, seconds = map(Fraction, parts)
        except ValueError:
            return Fraction(0)
        return max(Fraction(0), 3600 * hours + 60 * minutes + seconds - _start(self.container))


def _start(container) -> Fraction:
    """Return the time of the first frame of a file in seconds, from which its times are counted."""
    video = container.streams.video
    return video[0].start_time * video[0].time_base if video and video[0].start_time else Fraction(0)


class Camera:
    """Frames of a camera until it is closed, at the times when they were read.

    Raises:
        BadImage: the camera cannot be opened.
    """

    path, count = '', 0

    def __init__(self, number: int) -> None:
        # A larger number is not one of C.
        self.capture = cv2.VideoCapture(number) if number < 1 << 31 else None
        if self.capture is None or not self.capture.isOpened():
            raise BadImage(f'camera {number} cannot be opened')
        self.rate = Fraction(self.capture.get(cv2.CAP_PROP_FPS) or 25).limit_denominator(1001)

    def __iter__(self) -> Iterator[Frame]:
        begin, last = None, -TICK
        try:
            while True:
                good, pixels = self.capture.read()
                if not good:
                    return
                now = time.monotonic_ns()
                begin = begin or now
                last = max(Fraction(now - begin, 10**9), last + TICK)
                yield Frame(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), last)
        finally:
            self.capture.release()


class VideoWriter:
    """MP4 file (H.264) with the sound of another file. It has a temporary name until it is closed.

    Frames are shown at their times, so the frame rate may vary. Sound is copied up to the end of the last frame. It is encoded
    as AAC if MP4 cannot hold its codec.

    Args:
        path: of the file.
        rate: frames per second, on average.
        sound: file whose first audio stream is used; None or '' for silence.

    Raises:
        ImportError: PyAV is not installed.
    """

    def __init__(self, path: Path, rate: Fraction, sound: str | None = None) -> None:
        self.av = require('av', f'writing the video {path}')
        self.path, self.rate, self.sound = path, rate, sound
        self.temporary = temporary_path(path, keep_suffix=True)  # PyAV chooses the format by the suffix
        self.container = self.av.open(str(self.temporary), 'w')
        self.stream, self.frames, self.ticks, self.end = None, 0, -1, Fraction(0)
        self.source = self.following = None

    def write(self, shown: Frame) -> None:
        """Add a frame, all of one size. The last row or column of an odd size is repeated for H.264."""
        picture = shown.pixels
        height, width = picture.shape[:2]
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
        if self.stream is None:
            self._open(picture.shape[1], picture.shape[0])
        if (picture.shape[1], picture.shape[0]) != (self.stream.width, self.stream.height):
            raise ValueError(
                f'frame {self.frames} is {picture.shape[1]} x {picture.shape[0]}, those before are '
                f'{self.stream.width} x {self.stream.height}'
            )
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
        self.ticks = max(self.ticks + 1, round(shown.time / TICK))
        frame.pts, frame.time_base = self.ticks, TICK
        self._sound_until(shown.time)
        self.frames, self.end = self.frames + 1, shown.time + max(shown.duration, 1 / self.rate)
        self.container.mux(self.stream.encode(frame))

    def close(self, suffix: str = '') -> None:
        """Finish the file; ``suffix`` follows its name. Without frames there is no file."""
        if self.stream is not None:
            self.container.mux(self.stream.encode())
            self._sound_until(self.end)
            if self.source is not None:
                if not self.copied:
                    self.container.mux(self.speech.encode())
                self.source.close()
        self.container.close()
        if self.stream is None:
            self.temporary.unlink(missing_ok=True)
        else:
            move_into_place(self.temporary, self.path.with_name(self.path.name + suffix))

    def abort(self) -> None:
        """Remove the file."""
        self.container.close()
        self.temporary.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        self.stream = self.container.add_stream('libx264', rate=self.rate)
        self.stream.codec_context.time_base = self.stream.time_base = TICK
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, 'yuv420p'
        self.stream.options = {'crf': '20', 'preset': 'veryfast'}
        if not self.sound:
            return
        source = self.av.open(self.sound)
        if not source.streams.audio:
            source.close()
            return
        # All streams must exist before the first packet.
        self.source, given = source, source.streams.audio[0]
        self.copied = given.codec_context.name in IN_MP4
        if self.copied:
            self.speech = self.container.add_stream_from_template(given)
        else:
            self.speech = self.container.add_stream('aac', rate=given.rate)
        self.parts = self._sound_parts(given)
        self.following = next(self.parts, None)

    def _sound_until(self, end: Fraction) -> None:
        """Write the sound before ``end`` seconds, so that frames and sound are interleaved in the file."""
        while self.following is not None and self.following[0] < end:
            for packet in self.following[1]:
                self.container.mux(packet)
            self.following = next(self.parts, None)

    def _sound_parts(self, given) -> Iterator[tuple[Fraction, list]]:
        """Yield (time in seconds, packets) of the sound in order, from the first frame of the video on."""
        start, last, due = _start(self.source), Fraction(-1), Fraction(0)
        for part in self.source.demux(given) if self.copied else self.source.decode(given):
            ticks = part.dts if self.copied else part.pts
            if ticks is None or part.pts is None:
                continue
            if ticks * part.time_base - start <= last:  # joined recordings start again
                start = ticks * part.time_base - due
            shift = round(start / part.time_base)
            if ticks < shift:
                continue
            last, part.pts = (ticks - shift) * part.time_base, part.pts - shift
            if self.copied:
                part.dts, part.stream = ticks - shift, self.speech
                due = last + (part.duration or 1) * part.time_base
                yield last, [part]
            else:
                due = last + Fraction(part.samples, part.sample_rate)
                yield last, self.speech.encode(part)
