import importlib.util
import json
import types
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sapiens.apis import PoseResult
from sapiens.apis.batch_job import Plan
from sapiens.apis.inputs import Item
from sapiens.apis.loading.load_model import load_model
from sapiens.apis.masks import Masking
from sapiens.apis.results import Saving
from sapiens.apis.video.tracking import OneEuroFilter, Tracker, color_histogram, similarity
from sapiens.apis.video.video_file import Camera, Frame, VideoReader, VideoWriter, open_frames
from sapiens.apis.video.video_job import VideoOptions, partial_files, poster_file, run_video, run_videos, video_files
from sapiens.datasets.transforms import BadImage
from sapiens.metainfo import get_skeleton

from .tiny import config, lively, picture

COCO = get_skeleton('coco17')
needs_av = pytest.mark.skipif(not importlib.util.find_spec('av'), reason='needs PyAV: pip install av')


# ---------------------------------------------------------------------- tracks


def people(*centers, size=40.0):
    centers = np.array(centers, np.float32).reshape(-1, 2)
    boxes = np.concatenate([centers - size / 2, centers + size / 2], 1)
    points = np.repeat(centers[:, None], 17, axis=1)
    scores = np.ones((len(centers), 17), np.float32)
    return PoseResult(np.zeros((9, 9, 3), np.uint8), '', points, scores, boxes, np.ones(len(centers)), COCO)


def test_people_keep_their_numbers():
    tracker = Tracker(memory=0.35)
    assert tracker.update(people((50, 50), (150, 50)), 0.0).track_ids.tolist() == [0, 1]
    assert tracker.update(people((148, 52), (53, 50)), 0.1).track_ids.tolist() == [1, 0]
    assert tracker.update(people((150, 50), (300, 50)), 0.2).track_ids.tolist() == [1, 2]  # 0 is away
    assert tracker.update(people(), 0.3).track_ids.tolist() == []
    assert tracker.update(people((55, 50)), 0.4).track_ids.tolist() == [0], 'back after two frames'
    for step in range(3):
        tracker.update(people((55, 50)), 0.5 + step / 10)
    assert tracker.update(people((150, 50), (55, 50)), 0.8).track_ids.tolist() == [3, 0], 'away too long'


def test_the_larger_overlap_wins():
    tracker = Tracker()
    tracker.update(people((50, 50)), 0)
    assert tracker.update(people((62, 50), (52, 50)), 0.1).track_ids.tolist() == [1, 0]


COLORS = dict(red=(200, 30, 30), blue=(20, 40, 220), gray=(120, 120, 120))


def scene(**centers):
    """People of 30 x 60 pixels by the name of their color, the first one in front."""
    image = np.full((120, 400, 3), 250, np.uint8)
    boxes = np.array([[x - 15, 30, x + 15, 90] for x in centers.values()], np.float32).reshape(-1, 4)
    for name, box in list(zip(centers, boxes, strict=True))[::-1]:
        x1, y1, x2, y2 = np.rint(box).astype(int)
        image[y1:y2, max(x1, 0) : max(x2, 0)] = COLORS[name.rstrip('_')]
    points = np.zeros((len(boxes), 17, 2), np.float32)
    return PoseResult(image, '', points, points[..., 0] + 1, boxes, np.ones(len(boxes)), COCO)


def ids_of(frames, rate=60, **options):
    tracker = Tracker(**options)
    return [tracker.update(frame, number / rate).track_ids.tolist() for number, frame in enumerate(frames)]


def numbers(ids):
    return {number for frame in ids for number in frame}


def test_a_gap_keeps_the_number():
    """Nobody is found for 40 frames, in which the person moves by more than the width of the box."""
    walk = [scene(red=50 + number) if number < 30 or number >= 70 else scene() for number in range(100)]
    ids = ids_of(walk)
    assert numbers(ids) == {0} and sum(map(len, ids)) == 60
    assert numbers(ids_of(walk, memory=0.5)) == {0, 1}, 'a shorter memory'
    stranger = walk[:30] + [scene()] * 40 + [scene(blue=50 + number) for number in range(70, 100)]
    assert numbers(ids_of(stranger)[70:]) == {1}, 'somebody else comes from where the person went'


def test_people_who_cross_keep_their_numbers():
    """While one covers the other, only one is found."""
    frames = []
    for number in range(120):
        red, blue = 100 + 1.5 * number, 280 - 1.5 * number
        frames.append(scene(red=red, blue=blue) if abs(red - blue) > 25 else scene(red=red))
    ids = ids_of(frames)
    assert ids[0] == ids[-1] == [0, 1] and numbers(ids) == {0, 1}
    assert all(one[0] == 0 for one in ids), 'red'


def test_somebody_else_at_the_same_place():
    for missing, ids in ((40, [1]), (20, [0])):  # after two thirds and one third of a second
        assert ids_of([scene(red=60)] * 20 + [scene()] * missing + [scene(blue=60)])[-1] == ids


@pytest.mark.parametrize('known', [True, False])
def test_colors_tell_who_of_two_neighbors_it_is(known, monkeypatch):
    views = iter(np.eye(2)[[0, 1, 0, 1]] if known else np.zeros((4, 2)))
    monkeypatch.setattr('sapiens.apis.video.tracking.color_histogram', lambda image, box: next(views))
    frames = people((60, 50), (80, 50)), people((72, 50), (68, 50))
    assert ids_of(frames)[-1] == ([0, 1] if known else [1, 0])


def test_half_of_the_colors_are_not_enough():
    half = scene(red=70)
    half.image[30:60] = np.where(half.image[30:60] == COLORS['red'], COLORS['blue'], half.image[30:60])
    one, other = (color_histogram(frame.image, frame.boxes[0]) for frame in (scene(red=70), half))
    assert similarity(one, one) == pytest.approx(1) and similarity(one, other) == pytest.approx(0.5)
    before = [scene(red=60)] * 20 + [scene()] * 40
    assert ids_of([*before, half])[-1] == [1] and ids_of([*before, half], min_colors=0.45)[-1] == [0]
    assert (color_histogram(half.image, np.array([-90.0, 0, -50, 20])) == 0).all()


def test_a_fast_person_is_expected_further_on():
    walk = [scene(red=50 + 5 * number) if number < 30 or number > 48 else scene() for number in range(60)]
    assert numbers(ids_of(walk)) == {0}
    back = walk[:30] + [scene()] * 19 + [scene(red=105)]
    assert ids_of(back)[-1] == [1], 'as far behind as the other one is ahead'


def test_a_person_far_away_or_of_another_size_is_another():
    before = [scene(red=60)] * 20 + [scene()] * 10
    assert ids_of([*before, scene(red=120)])[-1] == [0]
    assert ids_of([*before, scene(red=360)])[-1] == [1], 'out of reach'
    small = scene(red=60)
    small.boxes = np.array([[52, 45, 68, 75]], np.float32)
    assert ids_of([*before, small])[-1] == [1]


def test_still_points_do_not_tremble_and_fast_ones_do_not_lag():
    rng = np.random.default_rng(0)
    times = np.arange(200) / 30
    noise = rng.normal(0, 1, (200, 1, 2))
    still = OneEuroFilter(1.0, 0.01)
    filtered = np.array([still(value, time) for value, time in zip(noise, times, strict=True)])
    assert filtered[50:].std() < 0.5 * noise[50:].std()
    fast = OneEuroFilter(1.0, 0.05)
    truth = np.stack([300 * times, 0 * times], -1)[:, None]
    lag = np.array([fast(value, time) for value, time in zip(truth, times, strict=True)]) - truth
    slow = OneEuroFilter(1.0, 0.0)
    slow_lag = np.array([slow(value, time) for value, time in zip(truth, times, strict=True)]) - truth
    assert np.abs(lag[-1]).max() < 0.2 * np.abs(slow_lag[-1]).max()
    # Without beta it is an exponential average with the share of a cutoff of 1 Hz at 30 frames a second.
    share = 1 / (1 + 30 / (2 * np.pi))
    plain = OneEuroFilter(1.0, 0.0)
    plain(np.zeros((1, 2)), 0.0)
    np.testing.assert_allclose(plain(np.ones((1, 2)), 1 / 30), share, rtol=1e-9)


def test_a_keypoint_that_reappears_is_not_smoothed():
    smooth = OneEuroFilter(1.0, 0.0)
    smooth(np.array([[0.0, 0], [5, 5]]), 0.0)
    assert np.isnan(smooth(np.array([[np.nan, np.nan], [5, 5]]), 0.1)[0]).all()
    found = smooth(np.array([[100.0, 100], [5, 5]]), 0.2)
    np.testing.assert_allclose(found, [[100, 100], [5, 5]])
    with pytest.raises(ValueError, match='does not follow'):
        smooth(np.zeros((2, 2)), 0.2)
    with pytest.raises(ValueError, match='min_cutoff=0'):
        OneEuroFilter(0)


def test_near_and_far_people_are_smoothed_alike():
    found = []
    for size in (40.0, 400.0):
        tracker = Tracker(smooth=True)
        for step in range(6):
            result = tracker.update(people((size * (1 + 0.05 * (step % 2)), size), size=size), step / 30)
        found.append(result.keypoints[0, 0] / size)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    assert 1 < found[0][0] < 1.05


def test_people_of_little_overlap_are_others():
    """Boxes of 40 pixels that are 20 apart share a third of their union."""
    for least, ids in ((1 / 3 - 0.01, [0]), (1 / 3 + 0.01, [1])):
        tracker = Tracker(min_overlap=least)
        tracker.update(people((50, 50)), 0)
        assert tracker.update(people((70, 50)), 0.1).track_ids.tolist() == ids
    tracker = Tracker(memory=0.1)
    tracker.update(people((50, 50)), 0)
    tracker.update(people(), 0.2)
    assert tracker.tracks == [] and tracker.update(people((50, 50)), 0.3).track_ids.tolist() == [1]


def test_settings_of_smoothing():
    tracker = Tracker(smooth=True, min_cutoff=2.0, beta=3.0)
    tracker.update(people((50, 50)), 0)
    (track,) = tracker.tracks
    assert (track.filter.min_cutoff, track.filter.speed_cutoff) == (2.0, 1.0)
    assert track.filter.beta == pytest.approx(3 / np.hypot(40, 40))
    result = tracker.update(people((60, 50)), 0.1)
    assert (
        50 < result.keypoints[0, 0, 0] < 60
        and result.keypoints[0, 0, 1] == 50
        and result.keypoints.dtype == np.float32
    )
    plain = Tracker()
    plain.update(people((50, 50)), 0)
    assert plain.update(people((60, 50)), 0.1).keypoints[0, 0, 0] == 60
    for options in (dict(min_cutoff=0.0), dict(speed_cutoff=0.0), dict(beta=-0.1)):
        with pytest.raises(ValueError, match='expected cutoffs above 0'):
            OneEuroFilter(**options)
    OneEuroFilter(beta=0.0)


def test_speed_widens_the_filter():
    """By hand, for one step of 0.5 s: the speed is filtered with 1 Hz, and the cutoff grows with it."""
    smooth = OneEuroFilter(min_cutoff=2.0, beta=0.5)
    smooth(np.zeros((1, 2)), 1.0)
    found = smooth(np.array([[3.0, 4.0]]), 1.5)
    speed = 10 * (np.pi / (1 + np.pi))  # 5 / 0.5, times the weight of 2 pi 0.5 / (1 + 2 pi 0.5)
    part = np.pi * (2 + 0.5 * speed)
    np.testing.assert_allclose(found, np.array([[3.0, 4.0]]) * part / (1 + part), rtol=1e-9)


def test_the_filter_follows_its_paper():
    """One point that starts far from 0, at uneven times: the speed is filtered, then the value, with alpha of each cutoff."""
    times, places = [0.3, 0.5, 1.1, 1.2], np.array([[70.0, -20.0], [73.0, -16.0], [61.0, -11.0], [61.0, -15.0]])

    def alpha(cutoff, step):
        return step / (step + 1 / (2 * np.pi * cutoff))

    smooth = OneEuroFilter(min_cutoff=0.7, beta=0.04, speed_cutoff=0.4)
    place, speed = places[0], np.zeros(2)
    np.testing.assert_array_equal(smooth(places[:1], times[0])[0], place)
    for index in (1, 2, 3):
        step = times[index] - times[index - 1]
        speed = speed + alpha(0.4, step) * ((places[index] - place) / step - speed)
        place = place + alpha(0.7 + 0.04 * np.hypot(*speed), step) * (places[index] - place)
        np.testing.assert_allclose(smooth(places[index, None], times[index])[0], place, rtol=1e-9)


# ---------------------------------------------------------------------- files


def frames(count=12, size=(48, 64)):
    return [np.roll(picture(size), 3 * index, axis=1) for index in range(count)]


def write_video(path, pictures, rate=10, sound='aac'):
    """Make a video of frames with a tone."""
    import av

    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=rate)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], 'yuv420p'
        speech = container.add_stream(sound, rate=16000) if sound else None
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')))
        container.mux(stream.encode())
        if sound:
            length = 16000 * len(pictures) // rate
            tone = (8000 * np.sin(np.arange(length) * 2 * np.pi * 440 / 16000)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(tone[None], format='s16', layout='mono')
            frame.sample_rate = 16000
            resampler = av.AudioResampler(format=speech.format, layout='mono', rate=16000, frame_size=1024)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(speech.encode(part))
            container.mux(speech.encode())
    return path


def pixels_of(path) -> list[np.ndarray]:
    return [frame.pixels for frame in VideoReader(path)]


def times_of(path) -> list[float]:
    return [float(frame.time) for frame in VideoReader(path)]


def sound_length(path) -> float:
    import av

    with av.open(str(path)) as container:
        if not container.streams.audio:
            return 0.0
        parts = [frame.samples for frame in container.decode(container.streams.audio[0])]
        return sum(parts) / container.streams.audio[0].rate


@needs_av
@pytest.mark.parametrize('sound, suffix', [('aac', '.mp4'), (None, '.mp4'), ('pcm_s16le', '.mkv')])
def test_a_video_is_read_and_written_with_its_sound(tmp_path, sound, suffix):
    pictures = frames()
    source = write_video(tmp_path / f'a{suffix}', pictures, sound=sound)
    reader = VideoReader(source)
    assert reader.rate == 10 and (reader.count == 12 or suffix == '.mkv')
    writer = VideoWriter(tmp_path / 'b.mp4', reader.rate, reader.path)
    read = []
    for frame in reader:
        read.append(frame.pixels)
        writer.write(frame)
    assert len(read) == 12 and not (tmp_path / 'b.mp4').exists()
    writer.close()
    again = pixels_of(tmp_path / 'b.mp4')
    assert len(again) == 12
    for one, two, three in zip(pictures, read, again, strict=True):
        assert np.abs(one.astype(int) - two).mean() < 8 and np.abs(two.astype(int) - three).mean() < 8
    assert sound_length(tmp_path / 'b.mp4') == (pytest.approx(1.2, abs=0.15) if sound else 0)
    assert not list(tmp_path.glob('.*'))


# Milliseconds: a still screen between two movements, and a last frame that is shown for long.
TIMES = [0, 33, 67, 100, 1100, 1133, 1900, 2700, 4000, 4033, 4067]


def write_at(path, times, sound_at=None, codec='libx264'):
    """Make a video with a frame at each time, and a tone of a second from ``sound_at``; all in milliseconds."""
    import av

    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 1000)
        speech = None if sound_at is None else container.add_stream('pcm_s16le', rate=16000)
        for at, pixels in zip(times, frames(len(times)), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24').reformat(format='yuv420p')
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for begin in range(0, 16000, 1600) if speech else ():
            frame = av.AudioFrame.from_ndarray(np.full((1, 1600), 9000, np.int16), format='s16', layout='mono')
            frame.sample_rate, frame.pts, frame.time_base = 16000, sound_at * 16 + begin, Fraction(1, 16000)
            container.mux(speech.encode(frame))
    return path


@needs_av
@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.webm', '.mov', '.ts'])
def test_frames_keep_their_times_when_the_rate_varies(tmp_path, suffix):
    source = write_at(tmp_path / f'a{suffix}', TIMES, codec='libvpx' if suffix == '.webm' else 'libx264')
    reader = VideoReader(source)
    writer = VideoWriter(tmp_path / 'b.mp4', reader.rate, reader.path)
    for frame in reader:
        writer.write(frame)
    writer.close()
    for path in (source, tmp_path / 'b.mp4'):
        assert times_of(path) == pytest.approx(np.array(TIMES) / 1000, abs=2e-3), path


@needs_av
@pytest.mark.parametrize('video_at, sound_at', [(0, 0), (500, 0), (0, 400), (700, 1000)])
def test_sound_stays_beside_its_frames(tmp_path, video_at, sound_at):
    import av

    source = write_at(tmp_path / 'a.mkv', [video_at + time for time in TIMES], sound_at)
    reader = VideoReader(source)
    writer = VideoWriter(tmp_path / 'b.mp4', reader.rate, reader.path)
    for frame in reader:
        writer.write(frame)
    writer.close()
    assert times_of(tmp_path / 'b.mp4') == pytest.approx(np.array(TIMES) / 1000, abs=2e-3)
    with av.open(str(tmp_path / 'b.mp4')) as container:
        loud = [float(frame.time) for frame in container.decode(audio=0) if np.abs(frame.to_ndarray()).max() > 0.1]
    assert loud[0] == pytest.approx(max(sound_at - video_at, 0) / 1000, abs=0.12)
    assert loud[-1] == pytest.approx((sound_at - video_at) / 1000 + 1, abs=0.15)


@needs_av
@pytest.mark.parametrize('sound', ['aac', 'mp2'])
def test_joined_recordings_are_one_after_the_other(tmp_path, sound):
    """Each begins at the same time, in its frames and in its sound."""
    source = write_video(tmp_path / 'a.ts', frames(20), sound=sound)
    source.write_bytes(source.read_bytes() * 2)
    reader = VideoReader(source)
    writer = VideoWriter(tmp_path / 'b.mp4', reader.rate, reader.path)
    for frame in reader:
        writer.write(frame)
    writer.close()
    assert times_of(tmp_path / 'b.mp4') == pytest.approx(np.arange(40) / 10, abs=1e-3)
    assert sound_length(tmp_path / 'b.mp4') == pytest.approx(4, abs=0.15)


@needs_av
def test_sound_goes_on_while_the_last_frame_is_shown(tmp_path):
    source = write_video(tmp_path / 'a.mp4', frames())
    for duration, length in ((Fraction(0), 0.3), (Fraction(9, 10), 1.1)):
        writer = VideoWriter(tmp_path / 'b.mp4', Fraction(10), str(source))
        writer.write(Frame(picture()))
        writer.write(Frame(picture(), Fraction(2, 10), duration))
        writer.close()
        assert sound_length(tmp_path / 'b.mp4') == pytest.approx(length, abs=0.1)


@needs_av
def test_frames_without_times_and_with_repeated_times_follow_each_other(tmp_path, monkeypatch):
    source = write_video(tmp_path / 'a.mp4', frames(), sound=None)
    reader, times = VideoReader(source), [None, 100, 100, 90, None, 5000, 40, 80]

    class Container:
        def __init__(self, real):
            self.streams, self.close, self.real = real.streams, real.close, real

        def demux(self, stream):
            for packet in self.real.demux(stream):
                yield types.SimpleNamespace(size=1, is_corrupt=False, decode=lambda packet=packet: self.decode(packet))

        def decode(self, packet):
            for frame in packet.decode():
                if times:
                    at = times.pop(0)
                    frame.pts, frame.time_base = at, Fraction(1, 1000)
                    yield frame

    reader.container = Container(reader.container)
    found = [float(frame.time) for frame in reader]
    assert found == pytest.approx([0, 0.1, 0.101, 0.102, 0.202, 5.0, 5.1, 5.14])


@needs_av
def test_times_of_a_video_through_a_model(tmp_path, monkeypatch):
    source = write_at(tmp_path / 'a.mp4', TIMES)
    clock = []
    update = Tracker.update
    monkeypatch.setattr(Tracker, 'update', lambda self, result, time: clock.append(time) or update(self, result, time))
    predictors = {'pose': load_model(config('pose'), device='cpu', batch_size=4)}
    plan = Plan(models={'pose': {}}, out=tmp_path / 'out', saving=Saving())
    assert len(run_video(plan, Item(str(source), 'a'), predictors, VideoOptions(smooth=True))) == len(TIMES)
    expected = pytest.approx(np.array(TIMES) / 1000, abs=1e-4)
    records = json.loads((tmp_path / 'out/a.json').read_text())['frames']
    assert [record['time'] for record in records] == expected
    assert clock == expected and times_of(tmp_path / 'out/a.mp4') == expected


@needs_av
@pytest.mark.parametrize('size', [(32, 46), (33, 46), (32, 47), (33, 47), (32, 45), (46, 1)])
def test_odd_sizes_repeat_the_last_row_or_column(tmp_path, size):
    writer = VideoWriter(tmp_path / 'odd.mp4', Fraction(10))
    image = picture(size)
    writer.write(Frame(image))
    writer.close()
    (only,) = pixels_of(tmp_path / 'odd.mp4')
    assert only.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert np.abs(only[: size[0], : size[1]].astype(int) - image).mean() < 12


@needs_av
def test_odd_sizes_broken_files_and_no_frames(tmp_path):
    writer = VideoWriter(tmp_path / 'odd.mp4', Fraction(10))
    writer.write(Frame(picture((33, 47))))
    with pytest.raises(ValueError, match='frame 1 is 64 x 48'):
        writer.write(Frame(picture((48, 64))))
    writer.close()
    (only,) = pixels_of(tmp_path / 'odd.mp4')
    assert only.shape == (34, 48, 3)
    VideoWriter(tmp_path / 'none.mp4', Fraction(10)).close()
    assert {path.name for path in tmp_path.iterdir()} == {'odd.mp4'}
    (tmp_path / 'text.mp4').write_bytes(b'no video')
    with pytest.raises(BadImage, match=r'text\.mp4'):
        VideoReader(tmp_path / 'text.mp4')


def broken(path, pictures, way):
    """A video that breaks midway: cut off, or with other bytes in its second half."""
    content = write_video(path, pictures, sound=None).read_bytes()
    half = len(content) // 2
    rest = b'' if way == 'cut' else b'\xff' * 3000 + content[half + 3000 :]
    path.write_bytes(content[:half] + rest)
    return path


NOISE = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)


@needs_av
@pytest.mark.parametrize('name, way', [('a.mkv', 'cut'), ('a.avi', 'cut'), ('a.mp4', 'bytes')])
def test_a_video_that_breaks_midway_is_reported(tmp_path, name, way):
    """Matroska and AVI end without an error of the decoder where the file was cut off."""
    found = []
    with pytest.raises(BadImage, match=f'{name}.* frame|{name}: frame'):
        for frame in VideoReader(broken(tmp_path / name, NOISE, way)):
            found.append(frame.pixels.shape)
    assert 5 < len(found) < 35 and set(found) == {(48, 64, 3)}
    whole = write_video(tmp_path / f'whole{name[1:]}', NOISE, sound=None)
    assert len(list(VideoReader(whole))) == 40


def test_a_camera_is_selected_by_its_number(monkeypatch):
    import cv2

    class Capture:
        left = 3

        def __init__(self, number):
            self.number = number

        def isOpened(self):
            return self.number == 0

        def get(self, what):
            return 30.0

        def read(self):
            self.left -= 1
            return self.left >= 0, np.full((4, 6, 3), (1, 2, 3), np.uint8)

        def release(self):
            pass

    monkeypatch.setattr(cv2, 'VideoCapture', Capture)
    camera = open_frames('0')
    assert isinstance(camera, Camera) and camera.rate == 30
    clock = iter([5_000_000_000, 5_250_000_000, 5_250_000_000])  # read late, and twice at once
    monkeypatch.setattr('time.monotonic_ns', lambda: next(clock))
    shown = list(camera)
    assert [frame.pixels[0, 0].tolist() for frame in shown] == [[3, 2, 1]] * 3
    assert [float(frame.time) for frame in shown] == pytest.approx([0, 0.25, 0.25], abs=1e-4)
    assert shown[2].time > shown[1].time
    with pytest.raises(BadImage, match='camera 7'):
        open_frames('7')


def test_a_camera_that_does_not_say_its_rate(monkeypatch):
    import cv2

    class Capture:
        rate = 0.0

        def __init__(self, number):
            self.number = number

        def isOpened(self):
            return True

        def get(self, what):
            assert what == cv2.CAP_PROP_FPS
            return self.rate

    monkeypatch.setattr(cv2, 'VideoCapture', Capture)
    assert Camera(0).rate == 25 and Camera(0).count == 0 and Camera(0).path == ''
    Capture.rate = 29.97002997
    assert Camera(2**31 - 1).rate == Fraction(30000, 1001)
    with pytest.raises(BadImage, match='camera 2147483648 cannot be opened'):
        Camera(2**31)


@needs_av
def test_lengths_of_files_and_turned_frames(tmp_path):
    source = write_video(tmp_path / 'a.mp4', frames(), sound=None)
    reader = VideoReader(source)
    assert reader._length() == Fraction(12, 10)

    class Stream:
        duration, time_base = None, Fraction(1, 10)
        metadata = dict(DURATION='01:02:03.500000000')

    reader.stream = Stream()
    assert reader._length() == 3723.5
    Stream.metadata = {}
    assert reader._length() == 0
    Stream.duration = 25
    assert reader._length() == 2.5


# ---------------------------------------------------------------------- frames through models


@needs_av
@pytest.mark.parametrize('side_by_side', [False, True])
def test_a_video_through_models(tmp_path, side_by_side):
    source = write_video(tmp_path / 'a.mp4', frames())
    predictors = {kind: load_model(config(kind), device='cpu', batch_size=5) for kind in ('pose', 'depth')}
    for predictor in predictors.values():
        lively(predictor.network)
    plan = Plan(models={kind: {} for kind in predictors}, out=tmp_path / 'out', saving=Saving(), subfolders=True)
    options = VideoOptions(track=True, side_by_side=side_by_side)
    assert len(run_video(plan, Item(str(source), 'a'), predictors, options)) == 12
    files = video_files(plan, 'a')
    assert set(files['pose']) == {'json', 'picture'} and set(files['depth']) == {'picture'}
    document = json.loads(files['pose']['json'].read_text())
    assert [frame['frame'] for frame in document['frames']] == list(range(12))
    assert document['frames'][5]['time'] == 0.5 and document['meta_info']['num_keypoints'] == 17
    assert all(frame['instance_info'][0]['track_id'] == 0 for frame in document['frames'])
    read = pixels_of(source)
    expected = [result.keypoints[0] for result in predictors['pose'](read)]
    for frame, points in zip(document['frames'], expected, strict=True):
        np.testing.assert_allclose(frame['instance_info'][0]['keypoints'], points, atol=2e-3)
    for kind in predictors:
        shown = pixels_of(files[kind]['picture'])
        assert len(shown) == 12 and shown[0].shape == (48, 128 if side_by_side else 64, 3)
        assert sound_length(files[kind]['picture']) > 1
        if side_by_side:
            assert np.abs(shown[3][:, :64].astype(int) - read[3]).mean() < 8
        poster = cv2.imread(str(poster_file(files[kind]['picture'])))[..., ::-1].astype(int)
        assert np.argmin([np.abs(poster - one).mean() for one in shown]) == 0, (
            'one person in each frame: the first one'
        )
    assert not list(Path(tmp_path / 'out').rglob('.*'))


@needs_av
def test_the_poster_has_the_most_people(tmp_path):
    source = write_video(tmp_path / 'a.mp4', frames(6), sound=None)
    predictors = {'pose': load_model(config('pose'), device='cpu', batch_size=3)}
    lively(predictors['pose'].network)
    plan = Plan(models={'pose': {}}, out=tmp_path / 'out', saving=Saving())
    counts = iter([0, 1, 2, 1, 2, 0])
    box = np.array([[2, 2, 40, 40]], np.float32)

    def detector(images):
        return [(np.repeat(box, count, 0), np.ones(count)) for _, count in zip(images, counts, strict=False)]

    found = run_video(plan, Item(str(source), 'a'), predictors, VideoOptions(), detector)
    assert [one.people for one in found] == [0, 1, 2, 1, 2, 0]
    shown = pixels_of(tmp_path / 'out/a.mp4')
    poster = cv2.imread(str(tmp_path / 'out/a_poster.jpg'))[..., ::-1].astype(int)
    assert np.argmin([np.abs(poster - one).mean() for one in shown]) == 2


@needs_av
def test_a_figure_of_all_tasks_and_a_mask_in_a_video(tmp_path):
    source = write_video(tmp_path / 'a.mp4', frames(4))
    predictors = {kind: load_model(config(kind), device='cpu', batch_size=5) for kind in ('seg', 'depth')}
    for predictor in predictors.values():
        lively(predictor.network)
    with torch.no_grad():  # nobody
        predictors['seg'].network.head.conv_seg.bias[0] = 1000
    plan = Plan(
        {kind: {} for kind in predictors}, tmp_path / 'out', Saving(background='black'), subfolders=True, figure=True
    )
    plan = replace(plan, masking=Masking('seg'))
    assert len(run_video(plan, Item(str(source), 'a'), predictors, VideoOptions(side_by_side=True))) == 4
    files = video_files(plan, 'a')
    assert files['figure'] == dict(picture=tmp_path / 'out/figure/a.mp4')
    figure, depth = pixels_of(files['figure']['picture']), pixels_of(files['depth']['picture'])
    assert len(figure) == 4 and figure[0].shape[1] == 3 * 68 - 4, 'the input, and two results'
    assert depth[0].shape[1] == 128 and (depth[0][:, 70:] < 20).all() and (figure[0][20:60, 140:] < 20).all()


@needs_av
def test_a_video_can_end_early(tmp_path):
    source = write_video(tmp_path / 'a.mp4', frames(), sound=None)
    predictors = {'pose': load_model(config('pose'), device='cpu', batch_size=3)}
    plan = Plan(models={'pose': {}}, out=tmp_path / 'out', saving=Saving(kinds=('json',)))
    assert len(run_video(plan, Item(str(source), 'a'), predictors, VideoOptions(max_frames=4, smooth=True))) == 4
    assert len(json.loads((tmp_path / 'out/a.json').read_text())['frames']) == 4
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['a.json']


@needs_av
def test_a_broken_video_is_a_failure_and_not_done(tmp_path):
    """Frames stay under another name until the whole video is read."""
    source = broken(tmp_path / 'a.mkv', NOISE, 'cut')
    predictors = {'pose': load_model(config('pose'), device='cpu', batch_size=3)}
    plan = Plan(models={'pose': {}}, out=tmp_path / 'out', saving=Saving())
    files = list(video_files(plan, 'a')['pose'].values())
    with pytest.raises(BadImage, match=r'a\.mkv is truncated.*frames are in a\.json\.part, a\.mp4\.part'):
        run_video(plan, Item(str(source), 'a'), predictors, VideoOptions())
    parts = partial_files(files)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == sorted(path.name for path in parts)
    kept = len(json.loads(parts[0].read_text())['frames'])
    assert 10 < kept < 30 and len(list(VideoReader(parts[1]))) == kept
    write_video(source, NOISE, sound=None)
    assert len(run_video(plan, Item(str(source), 'a'), predictors, VideoOptions())) == 40
    assert sorted((tmp_path / 'out').iterdir()) == sorted([*files, poster_file(files[1])])


@needs_av
def test_an_interrupted_video_leaves_nothing_and_a_camera_ends(tmp_path, monkeypatch):
    source = write_video(tmp_path / 'a.mp4', frames(), sound=None)
    predictors = {'pose': load_model(config('pose'), device='cpu', batch_size=2)}
    plan = Plan(models={'pose': {}}, out=tmp_path / 'out', saving=Saving())

    def interrupt(jobs, count):
        for number, job in enumerate(jobs):
            if number == 3:
                raise KeyboardInterrupt
            yield job

    with pytest.raises(KeyboardInterrupt):
        run_video(plan, Item(str(source), 'a'), predictors, VideoOptions(), progress=interrupt)
    assert not list((tmp_path / 'out').iterdir())

    class Pictures(Camera):
        def __init__(self, number):
            self.rate = Fraction(10)

        def __iter__(self):
            yield from (Frame(pixels, Fraction(number, 3)) for number, pixels in enumerate(frames()))

    monkeypatch.setattr('sapiens.apis.video.video_job.open_frames', lambda source: Pictures(0))
    assert len(run_video(plan, Item('0', 'camera0'), predictors, VideoOptions(), progress=interrupt)) == 3
    records = json.loads((tmp_path / 'out/camera0.json').read_text())['frames']
    assert [record['time'] for record in records] == [0, 0.3333, 0.6667]
    assert times_of(tmp_path / 'out/camera0.mp4') == pytest.approx([0, 1 / 3, 2 / 3], abs=1e-4)


@needs_av
def test_one_video_that_fails_does_not_stop_the_rest(tmp_path, monkeypatch):
    class Growing(VideoReader):
        """Frames of two sizes, which writers refuse."""

        def __iter__(self):
            for number, frame in enumerate(super().__iter__()):
                small = number < 5 or 'grows' not in self.path
                yield frame if small else frame._replace(pixels=np.concatenate([frame.pixels] * 2))

    monkeypatch.setattr('sapiens.apis.video.video_job.open_frames', Growing)
    sources = [write_video(tmp_path / name, frames(), sound=None) for name in ('grows.mp4', 'b.mp4')]
    (tmp_path / 'text.mp4').write_bytes(b'no video')
    options = dict(model=config('pose'), task='pose', batch_size=3)
    plan = Plan(models={'pose': options}, out=tmp_path / 'out', saving=Saving())
    items = [Item(str(path), path.stem) for path in (sources[0], tmp_path / 'text.mp4', sources[1])]
    outcomes = list(run_videos(plan, items, 'cpu', VideoOptions()))
    assert [outcome.item for outcome in outcomes] == items and not outcomes[2].error
    assert 'frame 5 is 64 x 96' in outcomes[0].error and 'text.mp4' in outcomes[1].error
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'b.json', 'b.mp4', 'b_poster.jpg'}


def test_a_recording_whose_clock_does_not_begin_at_zero(tmp_path):
    """Matroska states the time of the end, which is not the length of a part of a longer recording."""
    av = pytest.importorskip('av')
    with av.open(str(tmp_path / 'part.mkv'), 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
        for number, pixels in enumerate(frames(5)):
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
            frame.pts, frame.time_base = 36000 + number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reader = VideoReader(tmp_path / 'part.mkv')
    assert reader.count == 5 and [float(frame.time) for frame in reader] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
