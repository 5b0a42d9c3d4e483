"""Scores of the filters, and what passes them."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from sapiens.curation import load_settings
from sapiens.curation.filters import FILTERS, build_filters, image_text
from sapiens.curation.filters import people as people_module
from sapiens.curation.filters.bands import count_banded
from sapiens.curation.filters.natural import natural_score
from sapiens.curation.filters.text import PACKAGE, find_weights, measure_text
from sapiens.curation.hashes import content_hash, perceptual_hash
from sapiens.curation.photo import Photo

from .images import Detector, drawing, encoded, photo, textured


def one(**options):
    return build_filters({'x': options})[0]


def test_hashes_of_copies_are_near_and_of_others_far():
    import cv2

    image = textured(0)
    base = perceptual_hash(photo(image).small)
    small = cv2.resize(image, (240, 200), interpolation=cv2.INTER_AREA)
    copies = [Photo(encoded(image, quality=40)), photo(small), Photo(encoded(image, 'WEBP', quality=60))]
    bits = [(base ^ perceptual_hash(copy.small)).bit_count() for copy in copies]
    assert max(bits) <= 4
    assert min((base ^ perceptual_hash(photo(textured(seed)).small)).bit_count() for seed in range(1, 9)) > 12
    assert content_hash(b'a') != content_hash(b'b') and content_hash(b'a') == content_hash(b'a') < 2**64


def test_drawings_look_less_natural_than_textures():
    textures = [natural_score(photo(textured(seed)).small) for seed in range(5)]
    drawings = [natural_score(photo(drawing(seed)).small) for seed in range(5)]
    assert min(textures) > 2 * max(drawings) and max(textures) <= 1
    assert natural_score(np.zeros((9, 9, 3), np.uint8)) == 0
    table = pa.table({'x_score': pa.array([0.29, 0.3, None], pa.float32())})
    assert one(type='Natural', threshold=0.295).passes(table).tolist() == [False, True, False]


@pytest.mark.parametrize(('green', 'expected'), [(13, 1 / 7 / 4), (14, 0), (255, 1 / 7 / 4)])
def test_the_score_is_the_entropy_of_colors_times_the_part_of_edges(green, expected):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 1], pixels[:, 4:, 1] = 16, green  # one bit of 7; the two columns at the border differ by more than 2
    assert natural_score(pixels) == pytest.approx(expected)


def test_size_and_aspect():
    table = pa.table(dict(width=[400, 300, 2000], height=[300, 299, 400], x_side=[300, 299, 400]))
    assert one(type='MinSize', side=300, aspect=4).passes(table).tolist() == [True, False, False]


def test_photos_decode_once_upright_and_reduced():
    made = Photo(encoded(textured(0, 600, 300)))
    assert made.size == (600, 300) and made.format == 'JPEG' and made.small.shape == (128, 256, 3)
    assert made.pixels.shape == (300, 600, 3) and Photo(encoded(textured(0, 20, 10))).small.shape == (10, 20, 3)


def test_people_count_by_score_and_both_sides(monkeypatch):
    monkeypatch.setattr(people_module, 'build_detector', lambda text, device, threshold: Detector())
    made = one(type='People', detector='stub', score=0.5, side=200)
    made.setup()
    red = np.zeros((300, 260, 3), np.uint8)
    red[..., 0] = 204
    [values] = made.measure([photo(red)])
    assert values['best'] == pytest.approx(0.8) and values['boxes'].tolist() == [10, 10, 250, 290]
    boxes = [[0, 0, 300, 300, 5, 5, 255, 255], [0, 0, 200, 400], None, [], [10, 10, 250, 320, 5, 5, 205, 400]]
    scores = [[0.9, 0.6], [0.9], None, [], [0.5, 0.51]]
    table = pa.table(dict(
        x_boxes=pa.array(boxes, pa.list_(pa.float32())), x_scores=pa.array(scores, pa.list_(pa.float32())),
        x_best=pa.array([0.9, 0.9, None, 0, 0.51], pa.float32()), width=[300] * 5, height=[400] * 5,
    ))  # fmt: skip
    assert made.counts(table).tolist() == [2, 0, 0, 0, 0]
    assert one(type='People', score=0.5, side=199).counts(table).tolist() == [2, 1, 0, 0, 1]
    assert one(type='People', score=0.4, side=199).passes(table).tolist() == [True, True, False, False, True]
    # The whole person: inside of the image, and taller than wide.
    whole = one(type='People', score=0.4, side=199, view='whole').counts(table)
    assert whole.tolist() == [0, 0, 0, 0, 1]


def test_text_is_measured_by_area_and_repetition():
    probabilities, gray = np.zeros((100, 200), np.float32), np.zeros((100, 200), np.uint8)
    probabilities[10:20, 10:60] = 0.9
    found = measure_text(probabilities, gray)
    assert found == dict(fraction=pytest.approx(500 / 20000), lines=1, repeats=1, banded=0)
    for row in range(3):
        probabilities[30 + 20 * row : 40 + 20 * row, 100:151] = 0.9
    probabilities[0, 0] = 1  # noise
    assert measure_text(probabilities, gray) == dict(fraction=pytest.approx(0.1015), lines=4, repeats=4, banded=0)
    nothing = measure_text(np.zeros((64, 64), np.float32), np.zeros((64, 64), np.uint8))
    assert nothing == dict(fraction=0, lines=0, repeats=0, banded=0)
    table = pa.table(dict(x_fraction=[0.0, 0.2, 0.0, 0.0], x_repeats=[1, 1, 6, 1], x_banded=[0, 0, 0, 1]))
    passes = one(type='Text', most=0.1, repeats=6).passes(table)
    assert passes.tolist() == [True, False, False, False]
    assert one(type='Text', most=0.1, repeats=6, banded=2).passes(table).tolist() == [True, False, False, True]


def test_text_on_a_transparent_band_is_counted():
    base = textured(3, 400, 300).mean(-1).astype(np.float32)
    line, lower = np.array([[60, 140, 200, 14]]), np.array([0, 130, 0, 0])

    def banded(rows, opacity, color, columns=slice(None)):
        image = base.copy()
        image[rows, columns] = (1 - opacity) * image[rows, columns] + opacity * color
        return image

    assert count_banded(base, line) == 0
    for opacity, color in ((0.4, 0), (0.6, 255), (0.7, 60)):
        assert count_banded(banded(slice(125, 170), opacity, color), line) == 1
        assert count_banded(banded(slice(125, 170), opacity, color, slice(30, 300)), line) == 1
        # One edge is not a band, except at the border of the image.
        assert count_banded(banded(slice(125, None), opacity, color), line) == 0
        assert count_banded(banded(slice(260, None), opacity, color), line + lower) == 1
        assert count_banded(banded(slice(0, 40), opacity, color), line - lower) == 1
        # A region of few letters.
        assert count_banded(banded(slice(125, 170), opacity, color), line - [0, 0, 131, 0]) == 0
        # Far from the text.
        assert count_banded(banded(slice(20, 60), opacity, color), line) == 0
    # A sign, which the image does not continue below.
    sign = base.copy()
    sign[125:170] = np.repeat(np.random.default_rng(0).uniform(100, 160, 50), 8)
    assert count_banded(sign, line) == 0
    sign[125:170] = 230
    assert count_banded(sign, line) == 0
    assert count_banded(base[:6], np.array([[0, 0, 20, 5]])) == 0


@pytest.mark.skipif(
    not importlib.util.find_spec(PACKAGE), reason=f'{PACKAGE} is not installed (requirements/text.txt)'
)
def test_the_text_detector_of_the_package_finds_lines():
    image = Image.fromarray(textured(0, 480, 360))
    plain = photo(np.asarray(image))
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 290, 460, 350), (20, 20, 20))
    draw.text((40, 300), 'WORDS ON A PHOTOGRAPH', (255, 255, 255), ImageFont.load_default(32))
    made = one(type='Text')
    made.setup('cpu')
    without, written = made.measure([plain, photo(np.asarray(image))])
    assert without['lines'] == 0 and without['fraction'] == 0
    assert written['lines'] >= 1 and 0.01 < written['fraction'] < 0.2


def test_the_weights_of_the_text_detector_are_asked_for(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ImportError, match='python -m pip install --no-deps rapidocr-onnxruntime'):
        find_weights()


def test_faces_are_those_of_a_function_of_the_user():
    made = one(type='Faces', detector='tests.curation.images:bright_face', side=40, part=0.3)
    image = np.zeros((200, 300, 3), np.uint8)
    assert made.measure([photo(image)]) == [dict(side=0, count=0)]
    image[50:110, 100:150] = 255
    assert made.measure([photo(image)]) == [dict(side=50, count=1)]
    table = pa.table(dict(x_side=[0.0, 39, 60, 60, 59], width=[300] * 5, height=[100, 100, 200, 201, 100]))
    assert made.passes(table).tolist() == [False, False, True, False, True]
    with pytest.raises(ValueError, match=r"brightness' returned boxes of shape \(\): expected \(N, 4\)"):
        one(type='Faces', detector='tests.curation.images:brightness').measure([photo(image)])


def test_embeddings_are_of_length_one_and_do_not_see_mirroring():
    image = textured(1)
    made = one(type='Similar', function='tests.curation.images:embeddings')
    first, mirrored, other = made.measure([photo(image), photo(image[:, ::-1]), photo(textured(2))])
    assert first == mirrored != other
    assert np.linalg.norm(np.frombuffer(first['embedding'], np.float16).astype(float)) == pytest.approx(1, abs=1e-2)
    plain = one(type='Similar', function='tests.curation.images:embeddings', mirrored=False)
    first, mirrored = plain.measure([photo(image), photo(image[:, ::-1])])
    assert first != mirrored
    black = plain.measure([photo(np.zeros((20, 20, 3), np.uint8))])[0]['embedding']
    assert not np.frombuffer(black, np.float16).any()
    with pytest.raises(ValueError, match=r'numpy:mean returned \(\) for 1 images: expected \(1, D\)'):
        one(type='Similar', function='numpy:mean').measure([photo(image)])


def test_a_model_of_the_package_makes_embeddings():
    made = one(type='Similar', model='mae/sapiens_tiny_folder-256x256')
    made.setup('cpu')
    first, again = made.measure([photo(textured(1, 64, 48)), photo(textured(1, 64, 48))])
    assert first == again and len(first['embedding']) > 64


def test_a_function_of_the_user():
    made = one(type='Function', function='tests.curation.images:brightness', least=10, most=20)
    assert made.measure([photo(np.full((20, 20, 3), 12, np.uint8))]) == [dict(score=12.0)]
    table = pa.table(dict(x_score=[9.0, 10, 20, 21]))
    assert made.passes(table).tolist() == [False, True, True, False] and made.threshold == 10


def test_images_are_compared_with_texts(monkeypatch):
    class Part:
        def __init__(self, answer):
            self.answer, self.device = answer, 'cpu'

        def eval(self):
            return self

        def to(self, device):
            return self

        def __call__(self, **inputs):
            return self.answer(**inputs)

        def from_pretrained(self, name):
            if name != 'here':
                raise OSError('nothing there\nat all')
            return self

    class Inputs(dict):
        def to(self, device):
            return self

    def process(text, images, **_):
        assert text == ['a photo', 'a face', 'a drawing'] and images[0].shape == (20, 20, 3)
        return Inputs(level=torch.tensor([float(image.mean()) for image in images]))

    def compare(level):  # odds of 1 : 1 : level
        ones = torch.ones_like(level)
        return SimpleNamespace(logits_per_image=torch.stack([ones, ones, level], 1).log())

    stub = SimpleNamespace(AutoModel=Part(compare), AutoProcessor=Part(process))
    monkeypatch.setattr(image_text, 'require', lambda *_: stub)
    options = dict(type='ImageText', wanted=['a photo', 'a face'], unwanted=['a drawing'])
    made = one(model='here', **options)
    made.setup('cpu')
    scores = [row['score'] for row in made.measure([photo(np.full((20, 20, 3), value, np.uint8)) for value in (2, 6)])]
    assert scores == pytest.approx([0.5, 0.25])
    assert made.passes(pa.table(dict(x_score=[0.5, 0.49, None]))).tolist() == [True, False, False]
    with pytest.raises(ValueError, match="model='away' of the filter x cannot be loaded: nothing there$"):
        one(model='away', **options).setup('cpu')


def test_versions_are_those_of_scores_and_not_of_thresholds():
    assert one(type='People', score=0.5).version == one(type='People', score=0.9, side=5).version
    assert one(type='People', detector='embedded').version != one(type='People').version
    for kind in FILTERS.values():
        assert set(kind.thresholds) <= set(kind.__init__.__annotations__)
        assert not kind.score or kind.score in kind.columns


@pytest.mark.parametrize(
    ('filters', 'text'),
    [
        ({}, "'filters' is empty"),
        ({'x': 5}, "filters.x=5: expected dict\\(type='...'\\), or None to leave it out"),
        ({'x': {'type': 'People', 'detector': 5}}, 'filters.x: detector=5: expected a text'),
        ({'x': {'type': 'Function', 'function': 5, 'least': 1}}, "function=5: expected 'package.module:name'"),
        ({'x': {'type': 'ImageText', 'model': 5, 'wanted': ['a'], 'unwanted': ['b']}}, 'model=5: expected a text'),
        ({'x': {'type': 'Similar', 'model': ('a', 5)}}, "model=\\('a', 5\\): expected a text"),
        ({'x': {'type': 'Text', 'weights': 'no/such.onnx'}}, "weights='no/such.onnx': no such file"),
        ({'x': {'type': 'Peopel'}}, "did you mean 'People'"),
        ({'x': {'type': 'People', 'scor': 1}}, "filters.x: People has no argument 'scor'; did you mean 'score'"),
        ({'x': {'type': 'People', 'score': 2}}, 'filters.x: score=2: expected a finite number'),
        ({'x': {'type': 'People', 'view': 'face'}}, "view='face' is not one of"),
        ({'x y': {'type': 'People'}}, 'cannot be the name of a filter'),
        ({'a': {'type': 'People'}, 'b': {'type': 'Natural'}}, "'b' \\(image\\) comes after 'a' \\(model\\)"),
        ({'a': {'type': 'Duplicates'}, 'b': {'type': 'Duplicates'}}, 'two filters of duplicates'),
        (
            {'a': {'type': 'Similar', 'function': 'os:getcwd'}, 'b': {'type': 'People'}},
            "'b' comes after 'a' \\(Similar\\): expected Similar last",
        ),
        ({'a': {'type': 'Similar'}}, 'model=None and function=None: give one of them'),
        ({'a': {'type': 'Faces'}}, "missing 1 required positional argument: 'detector'"),
        ({'a': {'type': 'Function', 'function': 'os:path', 'least': 1}}, "expected 'package.module:name'"),
        ({'a': {'type': 'Function', 'function': 'no_such:f', 'least': 1}}, 'cannot be found'),
        ({'a': {'type': 'Function', 'function': 'os:getcwd'}}, 'has no limit'),
        (
            {'a': {'type': 'ImageText', 'model': 'm', 'wanted': 'text', 'unwanted': ['b']}},
            "wanted='text': expected a list",
        ),
    ],
)
def test_wrong_filters_are_refused(filters, text):
    with pytest.raises(ValueError, match=text):
        build_filters(filters)


def test_the_shipped_config_and_its_options(tmp_path):
    settings = load_settings('curation/humans300m.py')
    assert [one.name for one in settings.build()] == ['size', 'natural', 'duplicates', 'people']
    options = ['filters.people.score=0.5', 'filters.text.type=Text', 'filters.duplicates=None', 'unit_size=7']
    settings = load_settings('curation/humans300m.py', options)
    assert [one.name for one in settings.build()] == ['size', 'natural', 'text', 'people'] and settings.unit_size == 7
    assert settings.build()[-1].threshold == 0.5
    # Texts with commas, which options of the command line are split at.
    options = [
        'filters.people.detector=sapiens:a.py,b.pth',
        'filters.similar.type=Similar',
        'filters.similar.model=a.py,b.pth',
    ]
    *_, people, similar = load_settings('curation/humans300m.py', options).build()
    assert (people.detector, similar.model) == ('sapiens:a.py,b.pth', 'a.py,b.pth')
    # Each filter that is off has a place where it can be switched on.
    on = dict(
        text=dict(type='Text'),
        function=dict(type='Function', function='tests.curation.images:brightness', least=1),
        faces=dict(type='Faces', detector='tests.curation.images:bright_face'),
        imagetext=dict(type='ImageText', model='stub', wanted=['a'], unwanted=['b']),
        similar=dict(type='Similar', function='tests.curation.images:embeddings'),
    )
    filters = load_settings('curation/humans300m.py').filters
    assert {name for name, kind in filters.items() if kind is None} == set(on)
    assert [one.name for one in build_filters({name: on.get(name, kind) for name, kind in filters.items()})] == [
        *filters
    ]
    for option, text in (
        ('filters.peple.score=1', "no 'filters.peple'; did you mean 'people'"),
        ('unitsize=1', "unknown key 'unitsize'; did you mean 'unit_size'"),
        ('unit_size=0', 'unit_size=0: expected a whole number'),
    ):
        with pytest.raises(ValueError, match=text):
            load_settings('curation/humans300m.py', [option])
    (tmp_path / 'x.py').write_text('filters = 1 / 0')
    with pytest.raises(ValueError, match='cannot be read: ZeroDivisionError'):
        load_settings(tmp_path / 'x.py')
