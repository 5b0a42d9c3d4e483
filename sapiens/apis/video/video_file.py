"""Frames out of a video file and into another, with its sound.

PyAV does both (``pip install av``), one frame at a time.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from sapiens.datasets.transforms.decoding import BadImage

from ..detectors.base import need

__all__ = ['Camera', 'VideoReader', 'VideoWriter', 'open_frames']

# Codecs of sound that an MP4 file may hold.
IN_MP4 = ('aac', 'mp3', 'ac3', 'eac3', 'alac', 'opus')
# A file whose pictures end this much before its end was cut off: seconds, and a share of its length.
SHORT = (Fraction(1), Fraction(1, 50))


def open_frames(source: str) -> 'VideoReader | Camera':
    """The frames of a video file, or of a camera by its number."""
    return Camera(int(source)) if str(source).isdigit() else VideoReader(source)


class VideoReader:
    """Frames of a file, upright, in the order in which they are shown.

    Attributes:
        rate: frames per second, on average.
        count: frames, as the file says; 0 where it does not.

    Raises:
        ImportError: without PyAV.
        BadImage: a file without pictures in it.
    """

    def __init__(self, path: str | Path) -> None:
        av = need('av', 'av', f'reading the video {path}')
        self.path = str(path)
        try:
            self.container = av.open(self.path)
        except (OSError, ValueError) as error:  # PyAV's errors are of these types too
            raise BadImage(f'{self.path}: {type(error).__name__}: {error}') from error
        if not self.container.streams.video:
            raise BadImage(f'{self.path} has no pictures in it')
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = 'AUTO'
        self.rate = Fraction(self.stream.average_rate or self.stream.guessed_rate or 25)
        self.count = self.stream.frames
        if not self.count:
            self.count = round(self._length() * self.rate)

    def __iter__(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB each. Ends with BadImage where the rest cannot be decoded or is not there."""
        import av

        number, end, cut = 0, Fraction(0), False
        length = self._length()
        try:
            for packet in self.container.demux(self.stream):
                cut = packet.is_corrupt if packet.size else cut
                for frame in packet.decode():
                    if frame.pts is not None:
                        end = max(end, (frame.pts - (self.stream.start_time or 0)) * frame.time_base + 1 / self.rate)
                    number += 1
                    turns = round(-float(getattr(frame, 'rotation', 0) or 0) / 90) % 4
                    pixels = frame.to_ndarray(format='rgb24')
                    yield np.ascontiguousarray(np.rot90(pixels, -turns)) if turns else pixels
        except av.error.FFmpegError as error:
            raise BadImage(f'{self.path}: frame {number}: {type(error).__name__}: {error}') from error
        finally:
            self.container.close()
        # Some formats end without an error where the file was cut off.
        if cut or end < length - max(SHORT[0], SHORT[1] * length):
            raise BadImage(
                f'{self.path} breaks off after {float(end):.1f} of {float(length):.1f} seconds, frame {number}'
            )

    def _length(self) -> Fraction:
        """Seconds of pictures, as the file says; 0 where it does not."""
        if self.stream.duration:
            return self.stream.duration * self.stream.time_base
        # Matroska and WebM: '00:00:06.000000000'.
        parts = self.stream.metadata.get('DURATION', '').split(':')
        try:
            hours, minutes, seconds = map(Fraction, parts)
        except ValueError:
            return Fraction(0)
        return 3600 * hours + 60 * minutes + seconds


class Camera:
    """Frames of a camera, as they come, until it is closed.

    Raises:
        BadImage: there is no such camera.
    """

    path, count = '', 0

    def __init__(self, number: int) -> None:
        self.capture = cv2.VideoCapture(number)
        if not self.capture.isOpened():
            raise BadImage(f'camera {number} cannot be opened')
        self.rate = Fraction(self.capture.get(cv2.CAP_PROP_FPS) or 25).limit_denominator(1001)

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            while True:
                good, pixels = self.capture.read()
                if not good:
                    return
                yield cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        finally:
            self.capture.release()


class VideoWriter:
    """An MP4 file (H.264) with the sound of another file, under a temporary name until it is closed.

    Sound is copied as it is, up to the last frame; where MP4 cannot hold its codec it is encoded again as AAC.

    Args:
        path: to write.
        rate: frames per second.
        sound: file whose first sound is taken; None or '' for silence.

    Raises:
        ImportError: without PyAV.
    """

    def __init__(self, path: Path, rate: Fraction, sound: str | None = None) -> None:
        self.av = need('av', 'av', f'writing the video {path}')
        self.path, self.rate, self.sound = path, rate, sound
        self.temporary = path.with_name(f'.{path.stem}.tmp{path.suffix}')
        self.container = self.av.open(str(self.temporary), 'w')
        self.stream, self.frames = None, 0
        self.source = self.following = None

    def write(self, picture: np.ndarray) -> None:
        """Add a frame (H, W, 3) uint8 RGB; all of one size. An odd last row or column is repeated, which H.264 wants."""
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
        frame.pts, frame.time_base = self.frames, 1 / self.rate
        self._sound_until(self.frames / self.rate)
        self.frames += 1
        self.container.mux(self.stream.encode(frame))

    def close(self, path: Path | None = None) -> None:
        """Finish the file, under another path where one is given, or leave none where no frame was written."""
        if self.stream is not None:
            self.container.mux(self.stream.encode())
            self._sound_until(self.frames / self.rate)
            if self.source is not None:
                if not self.copied:
                    self.container.mux(self.speech.encode())
                self.source.close()
        self.container.close()
        if self.stream is None:
            self.temporary.unlink(missing_ok=True)
        else:
            self.temporary.replace(path or self.path)

    def abort(self) -> None:
        """Leave no file."""
        self.container.close()
        self.temporary.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        self.stream = self.container.add_stream('libx264', rate=self.rate)
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, 'yuv420p'
        self.stream.options = {'crf': '20', 'preset': 'veryfast'}
        if not self.sound:
            return
        source = self.av.open(self.sound)
        if not source.streams.audio:
            source.close()
            return
        # All streams must be there before the first packet.
        self.source, given = source, source.streams.audio[0]
        self.copied = given.codec_context.name in IN_MP4
        if self.copied:
            self.speech = self.container.add_stream_from_template(given)
        else:
            self.speech = self.container.add_stream('aac', rate=given.rate)
        self.parts = self._sound_parts(given)
        self.following = next(self.parts, None)

    def _sound_until(self, end: Fraction) -> None:
        """Write the sound before ``end`` seconds, so that pictures and sound lie beside each other in the file."""
        while self.following is not None and self.following[0] < end:
            for packet in self.following[1]:
                self.container.mux(packet)
            self.following = next(self.parts, None)

    def _sound_parts(self, given) -> Iterator[tuple[Fraction, list]]:
        """(time in seconds, packets) of the sound, in order."""
        if self.copied:
            for packet in self.source.demux(given):
                if packet.dts is not None and packet.pts is not None:
                    time = packet.pts * packet.time_base
                    packet.stream = self.speech
                    yield time, [packet]
        else:
            for frame in self.source.decode(given):
                time = Fraction(frame.time or 0)
                frame.pts = None
                yield time, self.speech.encode(frame)
