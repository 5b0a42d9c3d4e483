"""Reading and writing of video files frame by frame, with sound, by PyAV (``pip install av``)."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from sapiens.datasets.transforms.decoding import BadImage
from sapiens.utils.files import move_into_place, temporary_path
from sapiens.utils.optional import require

__all__ = ['Camera', 'VideoReader', 'VideoWriter', 'open_frames']

# Audio codecs that an MP4 file can hold.
IN_MP4 = ('aac', 'mp3', 'ac3', 'eac3', 'alac', 'opus')
# A file is truncated if its frames end this much before its length: seconds, and a fraction of the length.
SHORT = (Fraction(1), Fraction(1, 50))


def open_frames(source: str) -> 'VideoReader | Camera':
    """Open a video file, or a camera by its number."""
    return Camera(int(source)) if str(source).isdigit() else VideoReader(source)


class VideoReader:
    """Frames of a file, upright, in display order.

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
            raise BadImage(f'{self.path}: {type(error).__name__}: {error}') from error
        if not self.container.streams.video:
            raise BadImage(f'{self.path} has no video in it')
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = 'AUTO'
        self.rate = Fraction(self.stream.average_rate or self.stream.guessed_rate or 25)
        self.count = self.stream.frames or round(self._length() * self.rate)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (H, W, 3) uint8 RGB. Raises BadImage where the rest cannot be decoded or is missing."""
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
        # Some formats end without an error where the file is truncated.
        if cut or end < length - max(SHORT[0], SHORT[1] * length):
            raise BadImage(
                f'{self.path} is truncated after {float(end):.1f} of {float(length):.1f} seconds, frame {number}'
            )

    def _length(self) -> Fraction:
        """Return the length in seconds according to the file; 0 if unknown."""
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
    """Frames of a camera until it is closed.

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
    """MP4 file (H.264) with the sound of another file. It has a temporary name until it is closed.

    Sound is copied up to the last frame. It is encoded as AAC if MP4 cannot hold its codec.

    Args:
        path: of the file.
        rate: frames per second.
        sound: file whose first audio stream is used; None or '' for silence.

    Raises:
        ImportError: PyAV is not installed.
    """

    def __init__(self, path: Path, rate: Fraction, sound: str | None = None) -> None:
        self.av = require('av', f'writing the video {path}')
        self.path, self.rate, self.sound = path, rate, sound
        self.temporary = temporary_path(path, keep_suffix=True)  # PyAV chooses the format by the suffix
        self.container = self.av.open(str(self.temporary), 'w')
        self.stream, self.frames = None, 0
        self.source = self.following = None

    def write(self, picture: np.ndarray) -> None:
        """Add a frame (H, W, 3) uint8 RGB, all of one size. The last row or column of an odd size is repeated for H.264."""
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

    def close(self, suffix: str = '') -> None:
        """Finish the file; ``suffix`` follows its name. Without frames there is no file."""
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
            move_into_place(self.temporary, self.path.with_name(self.path.name + suffix))

    def abort(self) -> None:
        """Remove the file."""
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
        """Yield (time in seconds, packets) of the sound in order."""
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
