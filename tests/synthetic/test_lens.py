"""What depth of field blurs, and by how much."""

import numpy as np
import pytest

from sapiens.synthetic.lens import blur_radius, defocus
from sapiens.synthetic.render import Rendering

HEIGHT, WIDTH = 96, 160
APERTURE, FOCAL = 0.01, 400.0


def scene(behind: np.ndarray, depth: float) -> Rendering:
    """A red person in the middle, two meters away, before a background (H, W, 3) in one distance."""
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[20:80, 60:100] = 1
    alpha[20:80, [59, 100]] = 0.5
    front = alpha[..., None] * np.float32([0.9, 0, 0])
    instance = (alpha > 0.6).astype(np.uint8)
    meters = np.where(instance, np.float32(2), np.float32(depth))
    color = front + (1 - alpha[..., None]) * behind
    empty = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    return Rendering(color, meters, empty, empty, alpha, front, instance, instance, instance, instance)


def test_blur_is_that_of_a_thin_lens():
    depth = np.array([0, 1.0, 2.0, 2.5, 3.0, 6.0])
    expected = APERTURE * FOCAL * np.array([1 / 3, 1 / 2, 0, 0, 0, 1 / 3 - 1 / 6])
    np.testing.assert_allclose(blur_radius(depth, (2.0, 3.0), APERTURE, FOCAL), expected, rtol=1e-5)


def test_an_even_background_stays_even_and_people_sharp():
    even = np.full((HEIGHT, WIDTH, 3), 0.3, np.float32) * [0, 1, 2]
    rendering = scene(even.astype(np.float32), 9.0)
    np.testing.assert_allclose(defocus(rendering, 0.05, FOCAL), rendering.color, atol=1e-5)


@pytest.mark.parametrize('depth, sigma', [(2.0, 0.0), (4.0, 1.0), (9.0, 1.5556), (0.0, 2.0), (0.0, 4.0), (0.0, 12.0)])
def test_an_edge_is_as_soft_as_its_distance_asks(depth, sigma):
    """The gradient across an edge has the standard deviation of the blur. No light of people is in the background."""
    behind = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    behind[:10, :, 1], behind[:, :30, 2] = 0.8, 0.5
    rendering = scene(behind, depth)
    aperture = sigma / FOCAL / (1 / 2 - (1 / depth if depth else 0)) if sigma else APERTURE
    made = defocus(rendering, aperture, FOCAL)
    slope = -np.diff(made[88:, :100, 2].mean(0))
    x = np.arange(99) - 29.0
    found = np.sqrt((slope * x**2).sum() / slope.sum())
    assert found == pytest.approx(sigma, abs=0.35 + 0.12 * sigma)
    assert made[rendering.alpha == 0, 0].max() < 1e-4
    np.testing.assert_allclose(made[rendering.alpha == 1], rendering.color[rendering.alpha == 1], atol=1e-5)


def test_without_people_nothing_is_in_focus():
    rendering = scene(np.zeros((HEIGHT, WIDTH, 3), np.float32), 5.0)
    rendering.instance[:] = 0
    assert defocus(rendering, APERTURE, FOCAL) is rendering.color
