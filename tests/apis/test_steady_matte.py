import cv2
import numpy as np
import pytest

from sapiens.apis.video.steady_matte import SteadyMatte


def scene(x, y=30.0, size=(96, 128), seed=0):
    """A textured disc over a textured background: the frame and its alpha (H, W, 1), exact for any x and y."""
    rng = np.random.default_rng(seed)
    h, w = size
    back = cv2.GaussianBlur(rng.uniform(0, 255, (h, w, 3)).astype(np.float32), (0, 0), 3) * 1.5
    disc = cv2.GaussianBlur(rng.uniform(0, 255, (64, 64, 3)).astype(np.float32), (0, 0), 2)
    shift = np.array([[1, 0, x - 32], [0, 1, y - 32]], np.float32)
    radius = np.hypot(*(np.mgrid[:64, :64] - 31.5))
    alpha = np.clip(21 - radius, 0, 1).astype(np.float32)
    alpha = cv2.warpAffine(alpha, shift, (w, h))
    front = cv2.warpAffine(disc, shift, (w, h))
    frame = alpha[..., None] * front + (1 - alpha[..., None]) * back
    return np.clip(frame, 0, 255).astype(np.uint8), alpha[..., None]


def noisy(alpha, rng):
    edge = (alpha > 0) & (alpha < 1)
    return np.clip(alpha + np.where(edge, rng.normal(0, 0.2, alpha.shape), 0), 0, 1).astype(np.float32)


def run(frames, steady=None, rate=30):
    """Errors (n, H, W) of mattes with noise, unfiltered and filtered."""
    rng, steady = np.random.default_rng(1), steady or SteadyMatte()
    pairs = []
    for number, (frame, alpha) in enumerate(frames):
        given = noisy(alpha, rng)
        pairs.append((given - alpha, steady(frame, given, number / rate) - alpha))
    before, after = (np.stack(errors)[..., 0] for errors in zip(*pairs, strict=True))
    return before[5:], after[5:]


def flicker(errors):
    return np.abs(np.diff(errors, axis=0)).sum()


@pytest.mark.parametrize('speed, share', [(0.0, 0.4), (0.3, 0.6), (2.0, 0.8), (5.0, 1.0)])
def test_edges_of_still_and_moving_things_flicker_less_and_are_not_worse(speed, share):
    before, after = run([scene(40 + speed * number) for number in range(14)])
    assert flicker(after) < share * flicker(before)
    assert np.abs(after).sum() < max(share, 0.9) * np.abs(before).sum(), 'no lag behind the motion'


def test_the_motion_of_large_frames_is_in_their_pixels():
    """It is estimated on smaller ones."""

    def upsampled(number):
        frame, alpha = scene(40 + number)
        return cv2.resize(frame, None, fx=10, fy=10), cv2.resize(alpha, None, fx=10, fy=10)[..., None]

    steady = SteadyMatte()
    for number in range(3):
        frame, alpha = upsampled(number)
        filtered = steady(frame, alpha, number / 30)
    assert np.abs(filtered - alpha).mean() < 0.05 * np.abs(upsampled(1)[1] - alpha).mean()


def test_another_scene_is_not_averaged_with_the_one_before():
    steady = SteadyMatte()
    (first, matte), (second, empty) = (
        scene(40),
        (scene(40, seed=5)[0][::-1].copy(), np.zeros((96, 128, 1), np.float32)),
    )
    steady(first, matte, 0.0)
    result = steady(second, empty, 1 / 30)
    assert np.abs(result).mean() < 0.1 * matte.mean()


def test_what_enters_the_frame_has_no_past():
    rng, steady = np.random.default_rng(0), SteadyMatte()
    wide = cv2.GaussianBlur(rng.uniform(0, 255, (96, 200, 3)).astype(np.float32), (0, 0), 2).astype(np.uint8)
    for number in range(3):
        frame = np.ascontiguousarray(wide[:, 6 * number : 6 * number + 128])
        matte = rng.uniform(0, 0.9, (96, 128, 1)).astype(np.float32)
        filtered = steady(frame, matte, number / 30)
    same = (filtered == matte)[..., 0]
    assert same[:, -3:].mean() > 0.9, 'seen for the first time'
    assert same[:, :-10].mean() < 0.1


def test_every_channel_moves_with_alpha():
    steady, rng = SteadyMatte(), np.random.default_rng(0)
    for number in range(6):
        frame, alpha = scene(40 + number)
        given = noisy(alpha, rng)
        four = steady(frame, np.concatenate([given, 0.5 * given, 0.5 * given, 0.5 * given], -1), number / 30)
    np.testing.assert_allclose(four[..., 1], 0.5 * four[..., 0], atol=1e-6)
    assert four.dtype == np.float32


def test_frames_of_another_size_start_again():
    steady = SteadyMatte()
    frame, alpha = scene(40)
    steady(frame, alpha, 0.0)
    small = np.ascontiguousarray(frame[:50, :60]), np.ascontiguousarray(alpha[:50, :60])
    np.testing.assert_array_equal(steady(*small, 0.1), small[1])


def test_wrong_arguments_are_refused():
    frame, alpha = scene(40)
    with pytest.raises(ValueError, match='cutoff=0'):
        SteadyMatte(cutoff=0)
    steady = SteadyMatte()
    steady(frame, alpha, 1.0)
    with pytest.raises(ValueError, match='does not follow'):
        steady(frame, alpha, 1.0)


def test_a_few_pixels_are_enough():
    frame, alpha = np.zeros((1, 3, 3), np.uint8), np.ones((1, 3, 1), np.float32)
    steady = SteadyMatte()
    for number in range(2):
        np.testing.assert_array_equal(steady(frame, alpha, float(number)), alpha)
