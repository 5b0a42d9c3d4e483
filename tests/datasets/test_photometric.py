import cv2
import numpy as np
import pytest

from sapiens.datasets.transforms import (
    CoarseDropout,
    LoadPerson,
    LoadRandomResizedCrop,
    LoadResize,
    PhotometricDistortion,
    RandomBlur,
)

from .helpers import encode, smooth_image

IMAGE = smooth_image(48, 40)


def distorted(transform, seed, image=IMAGE):
    np.random.seed(seed)
    return transform(dict(img=image.copy()))['img']


def mmpose_distorted(seed, image, flags=None):
    """mmpose's transform with the same draws; it takes BGR."""
    from mmpose.datasets.transforms import PhotometricDistortion as Theirs

    class InRGB(Theirs):
        def _random_flags(self):
            *rest, order = flags or super()._random_flags()
            return *rest, (2 - np.asarray(order))[::-1]

    np.random.seed(seed)
    return InRGB()(dict(img=image[..., ::-1].copy()))['img'][..., ::-1]


@pytest.mark.parametrize('seed', range(40))
def test_published_equals_mmpose(seed):
    ours = distorted(PhotometricDistortion(published=True), seed)
    assert np.array_equal(ours, mmpose_distorted(seed, IMAGE))


def draws(monkeypatch, **chosen):
    """Set the random draws of the transform."""
    values = dict(contrast_last=0, brightness=0, contrast=0, colour=0, order=0) | chosen
    integers = iter(
        [
            *(values[key] for key in ('contrast_last', 'brightness', 'contrast', 'colour', 'order')),
            values.get('hue', 0),
        ]
    )
    numbers = iter([values.get('by', 0), values.get('times', 1), values.get('saturate', 1)])
    monkeypatch.setattr(np.random, 'randint', lambda *args, **kwargs: next(integers))
    monkeypatch.setattr(np.random, 'uniform', lambda *args, **kwargs: next(numbers))
    monkeypatch.setattr(np.random, 'permutation', lambda n: np.array([2, 0, 1]))
    return PhotometricDistortion(published=values.get('published', False))


@pytest.mark.parametrize('last', [0, 1])
@pytest.mark.parametrize('colour', [0, 1])
def test_contrast_is_applied_once(monkeypatch, last, colour):
    grey = np.repeat(np.arange(10, 130, dtype=np.uint8).reshape(1, -1, 1), 3, 2)
    make = draws(monkeypatch, contrast=1, contrast_last=last, times=1.5, colour=colour)
    assert np.array_equal(make(dict(img=grey))['img'], (grey * 1.5).astype(np.uint8))


@pytest.mark.parametrize('last, power', [(0, 0), (1, 2)])
def test_the_published_contrast_is_applied_twice_or_never(monkeypatch, last, power):
    grey = np.full((2, 2, 3), 100, np.uint8)
    make = draws(monkeypatch, contrast=1, contrast_last=last, times=1.5, published=True)
    assert (make(dict(img=grey))['img'] == int(100 * 1.5**power)).all()


def test_hues_go_round_the_circle(monkeypatch):
    reds = np.array([[[200, 20, 30], [210, 30, 20], [90, 10, 10]]], np.uint8)
    hue = cv2.cvtColor(reds, cv2.COLOR_RGB2HSV)[..., 0].astype(int)
    shifted = draws(monkeypatch, colour=2, hue=-15)(dict(img=reds))['img']
    after = cv2.cvtColor(shifted, cv2.COLOR_RGB2HSV)[..., 0].astype(int)
    difference = (after - hue + 15 + 90) % 180 - 90
    assert abs(difference).max() <= 1
    published = draws(monkeypatch, colour=2, hue=-15, published=True)(dict(img=reds))['img']
    assert abs(published.astype(int) - shifted).max() > 50  # turned far beyond -15


def test_brightness_saturation_and_order(monkeypatch):
    bright = draws(monkeypatch, brightness=1, by=20.0)(dict(img=IMAGE))['img']
    assert np.array_equal(bright, np.clip(IMAGE.astype(int) + 20, 0, 255))
    dull = draws(monkeypatch, colour=1, saturate=0.0)(dict(img=IMAGE))['img']
    assert np.array_equal(dull, np.repeat(IMAGE.max(2, keepdims=True), 3, 2))
    ordered = draws(monkeypatch, order=1)(dict(img=IMAGE))['img']
    assert np.array_equal(ordered, IMAGE[..., [2, 0, 1]])


def test_options_have_an_effect():
    for options in (
        dict(brightness_delta=0),
        dict(contrast_range=(1, 1)),
        dict(saturation_range=(1, 1)),
        dict(hue_delta=0),
        dict(permute=False),
        dict(published=True),
    ):
        pairs = [
            (distorted(PhotometricDistortion(**options), seed), distorted(PhotometricDistortion(), seed))
            for seed in range(30)
        ]
        assert any(not np.array_equal(a, b) for a, b in pairs), options
    nothing = PhotometricDistortion(0, (1, 1), (1, 1), 0, permute=False)
    assert all(
        abs(distorted(nothing, seed).astype(int) - IMAGE).max() <= 8 for seed in range(20)
    )  # 8-bit HSV and back


def test_the_given_image_is_not_changed():
    image = IMAGE.copy()
    for seed in range(20):
        np.random.seed(seed)
        PhotometricDistortion()(dict(img=image))
        RandomBlur(1.0, 1.0)(dict(img=image))
    assert np.array_equal(image, IMAGE)


def test_blurs():
    for seed in range(30):
        np.random.seed(seed)
        first = RandomBlur(mean_prob=1.0, median_prob=0.0)(dict(img=IMAGE))['img']
        assert any(np.array_equal(first, cv2.blur(IMAGE, (size, size))) for size in (3, 5, 7))
        second = RandomBlur(mean_prob=0.0, median_prob=1.0, sizes=(3, 5))(dict(img=IMAGE))['img']
        assert any(np.array_equal(second, cv2.medianBlur(IMAGE, size)) for size in (3, 5))
    np.random.seed(0)
    changed = [
        [not np.array_equal(RandomBlur(*probs)(dict(img=IMAGE))['img'], IMAGE) for _ in range(600)]
        for probs in ((0.1, 0.0), (0.0, 0.1), (0.1, 0.1))
    ]
    assert np.allclose(np.mean(changed, axis=1), [0.1, 0.1, 0.19], atol=0.04)


def test_the_median_of_7_is_approximated():
    noisy = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    exact, fast = (
        RandomBlur(0.0, 1.0, sizes=(7,), exact=exact)(dict(img=noisy))['img'].astype(int) for exact in (True, False)
    )
    assert np.array_equal(exact, cv2.medianBlur(noisy, 7))
    assert 0 < abs(exact - fast).mean() < 0.15 * abs(exact - noisy).mean()


def changes_of(seed, loader, image, early):
    """The image after a distortion before or behind the loading transform."""
    np.random.seed(seed)
    results = dict(img_path='memory', img_bytes=encode(image, 'PNG'), bbox_center=np.array([[40.0, 30]]))
    results['bbox_scale'] = np.array([[110.0, 90]])
    distortion = PhotometricDistortion()
    for step in (distortion, loader) if early else (loader, distortion):
        results = step(results)
    assert 'pixel_changes' not in results
    return results['img'].astype(int)


@pytest.mark.parametrize('decode', ['fast', 'exact'])
@pytest.mark.parametrize('size', [(30, 40), (96, 128)])
def test_a_change_may_be_drawn_before_the_image_is_loaded(decode, size):
    image = smooth_image(80, 60)  # more pixels than the smaller crop, fewer than the larger
    differences = []
    for seed in range(20):
        loader = LoadPerson(size, decode=decode)
        before, behind = (changes_of(seed, loader, image, early) for early in (True, False))
        if decode == 'exact' or size == (30, 40):
            assert np.array_equal(before, behind)
        else:
            # Beside the image is what black becomes.
            assert np.array_equal(before[0, 0], behind[0, 0])
            differences.append(abs(before - behind).mean())
    assert len(differences) == 0 or (np.mean(differences) < 0.5 and np.max(differences) < 2)
    for loader in (LoadResize(size), LoadRandomResizedCrop(size, (1, 1), (80 / 60, 80 / 60), flip_prob=0)):
        distorted_ = changes_of(3, loader, image, True)
        assert (distorted_ != changes_of(3, LoadResize(size), image, True)).mean() < 0.01
        assert not np.array_equal(distorted_, loader(dict(img=image, img_path=''))['img'])


def test_one_rectangle_is_painted():
    np.random.seed(0)
    shares, places = [], []
    for _ in range(300):
        results = CoarseDropout(fill=7)(dict(img=np.full((100, 80, 3), 200, np.uint8), keypoints_visible='untouched'))
        assert results['keypoints_visible'] == 'untouched'
        ys, xs = np.nonzero((results['img'] == 7).all(2))
        h, w = np.ptp(ys) + 1, np.ptp(xs) + 1
        assert len(ys) == h * w == (results['img'] != 200).all(2).sum()
        shares.append((h / 100, w / 80))
        places.append((ys.min() / (100 - h), xs.min() / (80 - w)))
    shares, places = np.array(shares), np.array(places)
    assert shares.min() >= 0.19 and shares.max() <= 0.4 and abs(shares.mean(0) - 0.295).max() < 0.01
    assert places.min() == 0 and places.max() == 1 and abs(places.mean(0) - 0.5).max() < 0.05
    painted = [(CoarseDropout(prob=0.3)(dict(img=IMAGE.copy()))['img'] != IMAGE).any() for _ in range(300)]
    assert abs(np.mean(painted) - 0.3) < 0.08


@pytest.mark.parametrize(
    'make, options, text',
    [
        (PhotometricDistortion, dict(brightness_delta=-1), 'brightness_delta=-1'),
        (PhotometricDistortion, dict(contrast_range=(2, 1)), 'contrast_range'),
        (PhotometricDistortion, dict(saturation_range=(1,)), 'saturation_range'),
        (PhotometricDistortion, dict(hue_delta=1.5), 'hue_delta=1.5'),
        (RandomBlur, dict(mean_prob=2), 'mean_prob=2'),
        (RandomBlur, dict(median_prob=-1), 'median_prob=-1'),
        (RandomBlur, dict(sizes=(3, 4)), 'sizes'),
        (RandomBlur, dict(sizes=()), 'sizes'),
        (CoarseDropout, dict(height=(0, 0.4)), 'height'),
        (CoarseDropout, dict(width=(0.4, 0.2)), 'width'),
        (CoarseDropout, dict(prob=3), 'prob=3'),
        (CoarseDropout, dict(fill=256), 'fill=256'),
    ],
)
def test_wrong_arguments(make, options, text):
    with pytest.raises(ValueError, match=text):
        make(**options)


def mmseg_distorted(monkeypatch, image, seed):
    """mmseg's transform (BGR) and its draws, from a recorded generator."""
    import mmseg.datasets.transforms.transforms as module

    drawn = []

    class Recorded:
        def __getattr__(self, name):
            def draw(*args):
                drawn.append(getattr(generator, name)(*args))
                return drawn[-1]

            return draw

    generator = np.random.RandomState(seed)
    monkeypatch.setattr(module, 'random', Recorded())
    made = module.PhotoMetricDistortion()(dict(img=image[..., ::-1].copy()))['img'][..., ::-1]
    return made, drawn


def as_ours(drawn):
    """The draws of mmseg's transform as those of ours: it asks in order for a flag and, where set, for a number."""
    drawn = iter(drawn)
    chosen = dict(brightness=next(drawn))
    if chosen['brightness']:
        chosen['by'] = next(drawn)
    chosen['contrast_last'] = int(next(drawn) != 1)

    def contrast():
        chosen['contrast'] = next(drawn)
        if chosen['contrast']:
            chosen['times'] = next(drawn)

    if not chosen['contrast_last']:
        contrast()
    colour = next(drawn)
    if colour:
        chosen['saturate'] = next(drawn)
    if next(drawn):
        colour, chosen['hue'] = colour + 2, next(drawn)
    chosen['colour'] = colour
    if chosen['contrast_last']:
        contrast()
    assert next(drawn, None) is None
    return chosen


def test_without_a_new_order_of_channels_it_is_mmsegs(monkeypatch):
    """The same draws give the same image, but for one rounding: mmseg goes to HSV and back for saturation and hue each."""
    counts = np.zeros(5)
    for seed in range(80):
        theirs, drawn = mmseg_distorted(monkeypatch, IMAGE, seed)
        chosen = as_ours(drawn)
        with monkeypatch.context() as patch:
            make = draws(patch, **chosen)
            make.permute = False
            ours = make(dict(img=IMAGE.copy()))['img']
        counts += [
            chosen['brightness'],
            chosen['contrast_last'],
            chosen['contrast'],
            chosen['colour'] & 1,
            chosen['colour'] > 1,
        ]
        difference = abs(ours.astype(int) - theirs)
        if chosen['colour'] == 3:
            assert difference.mean() < 1.5 and np.percentile(difference, 99) <= 8, seed
        else:
            assert difference.max() <= 1, seed
    assert (abs(counts / 80 - 0.5) < 0.2).all()  # each with probability 1/2, as ours are
