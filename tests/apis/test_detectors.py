import json
import logging
import sys
import types
from urllib.error import URLError

import numpy as np
import pytest
import torch

from sapiens.apis.detectors import BoxesFile, PersonDetector, build_detector, suppress
from sapiens.apis.inputs import Item
from sapiens.commands import is_user_error

from .tiny import picture

BOXES = np.array([[10, 10, 50, 90], [12, 10, 52, 90], [60, 5, 85, 60], [-20, -20, 5, 30], [0, 0, 0.5, 50]], np.float32)
SCORES = np.array([0.8, 0.9, 0.4, 0.5, 0.95], np.float32)


def found(images):
    return [(BOXES, SCORES) for _ in images]


def test_thresholds_doubles_and_the_border():
    image = picture((120, 90))
    ((boxes, scores),) = PersonDetector(found, threshold=0.3, nms_threshold=0.3)([image])
    assert scores.tolist() == pytest.approx([0.9, 0.5, 0.4])  # best first, without the duplicate and the thin one
    assert boxes.tolist() == [[12, 10, 52, 90], [0, 0, 5, 30], [60, 5, 85, 60]]
    ((boxes, _),) = PersonDetector(found, threshold=0.45, nms_threshold=1.0)([image])
    assert len(boxes) == 3
    ((boxes, scores),) = PersonDetector(found, threshold=0.99)([image])
    assert boxes.shape == (0, 4) and scores.shape == (0,)
    for name in ('if_no_detections', 'when_nobody'):  # the latter is the old name
        ((boxes, scores),) = PersonDetector(found, threshold=0.99, **{name: 'whole-image'})([image])
        assert boxes.tolist() == [[0, 0, 90, 120]] and scores.tolist() == [1]
    nan = PersonDetector(lambda images: [(np.array([[np.nan, 0, 5, 5]]), np.array([0.9]))])
    assert len(nan([image])[0][0]) == 0
    for options in (dict(threshold=2), dict(nms_threshold=-1), dict(if_no_detections='guess')):
        with pytest.raises(ValueError, match=next(iter(options))):
            PersonDetector(found, **options)


def test_suppression_counts_the_last_pixel():
    """Two boxes of 10 x 10 pixels, one of which is 5 to the right: 50 pixels shared, 150 together."""
    boxes = np.array([[0, 0, 9, 9], [5, 0, 14, 9]], np.float32)
    assert suppress(boxes, np.array([0.5, 0.6]), 0.33).tolist() == [1]
    assert suppress(boxes, np.array([0.5, 0.6]), 0.34).tolist() == [1, 0]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.3).tolist() == []


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_boxes_of_a_file_find_their_image(tmp_path):
    image = picture((120, 90))
    results = [
        dict(image_id=397133, category_id=1, bbox=[10, 20, 30, 40], score=0.9),
        dict(image_id=397133, category_id=18, bbox=[0, 0, 5, 5], score=0.9),
        dict(image_id='dancer', category_id=1, bbox=[1, 2, 3, 4], score=0.5),
        dict(image_id=5, file_name='deep/5.png', category_id=1, bbox=[0, 0, 9, 9], score=0.2),
    ]
    boxes = BoxesFile(write(tmp_path / 'results.json', results))
    item = Item('coco/val2017/000000397133.jpg', '000000397133')
    assert boxes(item, image)[0].tolist() == [[10, 20, 40, 60]] and boxes(item, image)[1].tolist() == [np.float32(0.9)]
    assert boxes.image_id(item) == 397133
    assert boxes(Item('x/dancer.webp', 'dancer'), image)[0].tolist() == [[1, 2, 4, 6]]
    assert boxes(Item('/a/5.png', '5'), image)[0].tolist() == [[0, 0, 9, 9]]
    unknown = Item('other.jpg', 'other')
    assert len(boxes(unknown, image)[0]) == 0 and boxes.image_id(unknown) is None
    assert boxes.find(unknown) is None and boxes.find(item) is not None
    cleaned = BoxesFile(tmp_path / 'results.json', PersonDetector(None, threshold=0.3))
    assert len(cleaned(Item('/a/5.png', '5'), image)[0]) == 0

    data = dict(
        images=[dict(id=3, file_name='a.jpg'), dict(id=4, file_name='b.jpg')],
        annotations=[
            dict(image_id=3, category_id=1, bbox=[5, 5, 20, 20], id=1),
            dict(image_id=3, category_id=1, bbox=[0, 0, 90, 90], id=2, iscrowd=1),
        ],
    )
    boxes = BoxesFile(write(tmp_path / 'data.json', data))
    assert boxes(Item('x/a.jpg', 'a'), image)[0].tolist() == [[5, 5, 25, 25]]
    assert boxes.image_id(Item('x/b.jpg', 'b')) == 4 and boxes.find(Item('x/b.jpg', 'b')) is not None


def cameras(*names):
    """A COCO dataset with one person in each image, 10 pixels further to the right in each."""
    return dict(
        images=[dict(id=7 + index, file_name=name) for index, name in enumerate(names)],
        annotations=[
            dict(image_id=7 + index, category_id=1, bbox=[10 * index, 0, 5, 5]) for index in range(len(names))
        ],
    )


def left_of(boxes, *items):
    """Left edge of the only box of each image, None without boxes; and the ids of the images."""
    found = [boxes(item, picture((120, 90)))[0] for item in items]
    return [box[0, 0] if len(box) else None for box in found], [boxes.image_id(item) for item in items]


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    one, two = (Item(f'/data/{name}/0001.jpg', f'{name}/0001') for name in ('cam1', 'cam2'))
    both = BoxesFile(write(tmp_path / 'both.json', cameras('cam2/0001.jpg', 'cam1/0001.jpg')))
    assert left_of(both, one, two) == ([10, 0], [8, 7]) and 'boxes for 2 of 2 images' in both.check([one, two])
    deeper = BoxesFile(write(tmp_path / 'deeper.json', cameras('/old/disk/cam2/0001.jpg', './cam1\\0001.jpg')))
    assert left_of(deeper, one, two) == ([10, 0], [8, 7])
    assert 'for 1 of them the file has other folders' in deeper.check([one, two])
    single = BoxesFile(write(tmp_path / 'single.json', cameras('cam1/0001.jpg')))
    assert left_of(single, one, two) == ([0, None], [7, None])
    assert 'boxes for 1 of 2 images, 1 are not in the file, such as /data/cam2/0001.jpg' in single.check([one, two])
    # The input is one folder: its name is not known to differ on purpose.
    elsewhere = Item('/photos/0001.jpg', '0001')
    assert left_of(single, elsewhere) == ([0], [7]) and 'for 1 of them the file has other folders' in single.check(
        [elsewhere]
    )
    with pytest.raises(
        ValueError, match=r'/photos/0001\.jpg could be cam2/0001\.jpg or cam1/0001\.jpg of .*both\.json'
    ):
        both.check([elsewhere])
    bare = [dict(image_id=1, bbox=[0, 0, 9, 9])]
    with pytest.raises(ValueError, match=r"cam1/0001\.jpg and /data/cam2/0001\.jpg are both '1' in"):
        BoxesFile(write(tmp_path / 'bare.json', bare)).check([one, two])


def test_a_file_of_which_nothing_is_used_is_refused(tmp_path):
    zero = [dict(image_id='a', category_id=0, bbox=[0, 0, 40, 40], score=0.9)] * 3
    with pytest.raises(ValueError, match='3 with another category than 1, such as 0'):
        BoxesFile(write(tmp_path / 'zero.json', zero))
    named = dict(cameras('a.jpg'), categories=[dict(id=0, name='Person'), dict(id=1, name='car')])
    with pytest.raises(ValueError, match='1 with another category than 0, such as 1'):
        BoxesFile(write(tmp_path / 'named.json', named))
    named['annotations'][0]['category_id'] = 0
    assert len(BoxesFile(write(tmp_path / 'named.json', named)).boxes['a.jpg']) == 1
    named['categories'][0]['name'] = 'bicycle'
    with pytest.raises(ValueError, match="no category of .* is called person: 'bicycle', 'car'"):
        BoxesFile(write(tmp_path / 'named.json', named))
    boxes = BoxesFile(write(tmp_path / 'other.json', cameras('a.jpg', 'b.jpg')))
    with pytest.raises(
        ValueError, match=r'has none of the 1 images: it has a\.jpg, b\.jpg, the first image is x/c\.jpg'
    ):
        boxes.check([Item('x/c.jpg', 'c')])
    data = cameras('a.jpg', 'b.jpg')
    with pytest.raises(ValueError, match=r'empty\.json is the box of a person: it has no annotations'):
        BoxesFile(write(tmp_path / 'empty.json', dict(data, annotations=[])))
    data['annotations'][1].update(iscrowd=1)
    data['annotations'] += [dict(image_id=7, bbox=[0, 0, 0, 5]), dict(image_id=99, bbox=[0, 0, 5, 5])]
    text = BoxesFile(write(tmp_path / 'left.json', data)).check([Item('x/a.jpg', 'a'), Item('x/b.jpg', 'b')])
    assert 'boxes for 1 of 2 images' in text and '1 with iscrowd, 1 with a bbox without area' in text
    assert '1 with an image_id that is not among the images' in text
    with pytest.raises(ValueError, match='has boxes for none of the 1 images: 1 with iscrowd.*without --boxes'):
        BoxesFile(tmp_path / 'left.json').check([Item('x/b.jpg', 'b')])


@pytest.mark.parametrize('change', [
    dict(bbox=5), dict(bbox=None), dict(bbox=[1, 2, 3]), dict(bbox=[[1, 2, 3, 4]]), dict(bbox=[1, 2, 3, '4']),
    dict(bbox=[1, 2, 3, 1e300]), dict(bbox=[1, 2, 3, 10**400]), dict(bbox=[1, 2, float('nan'), 4]), dict(score=None),
    dict(score='0.5'), dict(image_id=None), dict(image_id=[1]), dict(image_id=1.5),
])  # fmt: skip
def test_a_wrong_value_is_refused_with_its_entry(tmp_path, change):
    entries = [dict(image_id=1, bbox=[1, 2, 3, 4]), dict(image_id=2, bbox=[1, 2, 3, 4]) | change]
    with pytest.raises(ValueError, match=rf'entry 1 .*has the {next(iter(change))} '):
        BoxesFile(write(tmp_path / 'boxes.json', entries))


@pytest.mark.parametrize('content', ['[{"image_id": 1}]', '{"a": 1}', 'nothing', '[1, 2]', '{"images": [5]}', 'null',
                                     '{"images": [{"id": 1, "file_name": "a"}]}', '[' * 100000])  # fmt: skip
def test_a_file_of_another_format_is_refused(tmp_path, content):
    path = tmp_path / 'boxes.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=r'boxes\.json is not a file of boxes'):
        BoxesFile(path)
    with pytest.raises(FileNotFoundError, match=r'none\.json'):
        BoxesFile(tmp_path / 'none.json')


@pytest.mark.parametrize('text', ['yolo', 'embedded:x', 'torchvision', 'torchvision:', 'mmdet:config.py', ''])
def test_unknown_detectors_are_refused(text):
    with pytest.raises(ValueError, match='expected'):
        build_detector(text, 'cpu')


def test_the_whole_image_is_a_person():
    ((boxes, scores),) = build_detector('whole-image')([picture((120, 90))])
    assert boxes.tolist() == [[0, 0, 90, 120]] and scores.tolist() == [1]


def test_the_embedded_detector_needs_its_weights():
    """Those of the package are hidden by conftest.py."""
    with pytest.raises(FileNotFoundError, match='sapiens-tiny-person') as refused:
        build_detector('embedded', 'cpu')
    assert is_user_error(refused.value)


def test_torchvision_detectors_take_weights_from_a_file(tmp_path):
    from torchvision.models import get_model

    name = 'ssdlite320_mobilenet_v3_large'
    torch.manual_seed(0)
    torch.save(get_model(name, weights=None, weights_backbone=None).state_dict(), tmp_path / 'weights.pth')
    detector = build_detector(f'torchvision:{name},{tmp_path / "weights.pth"}', 'cpu', threshold=0.0)
    results = detector([picture((120, 90)), picture((60, 200))])
    assert len(results) == 2
    for (boxes, scores), size in zip(results, ((120, 90), (60, 200)), strict=True):
        assert boxes.shape == (len(scores), 4) and (np.diff(scores) <= 0).all()
        assert (boxes >= 0).all() and (boxes[:, 2] <= size[1]).all() and (boxes[:, 3] <= size[0]).all()
    with pytest.raises(ValueError, match="did you mean 'ssdlite320_mobilenet_v3_large'"):
        build_detector('torchvision:ssdlite320_mobilenet', 'cpu')
    torch.save({'a': torch.zeros(1)}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='does not fit'):
        build_detector(f'torchvision:{name},{tmp_path / "other.pth"}', 'cpu')


def test_weights_that_cannot_be_fetched_end_in_one_line(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise URLError('no route to host')

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr('torch.hub.urlopen', refuse)
    with pytest.raises(ValueError, match=r'fetched \(no route to host\); torchvision:\w+,FILE') as refused:
        build_detector('torchvision:ssdlite320_mobilenet_v3_large', 'cpu')
    assert is_user_error(refused.value)


def test_suppression_for_torchvision_is_the_usual_one():
    from sapiens.apis.detectors.torchvision import _nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 0, 10, 5]])
    scores = torch.tensor([0.5, 0.9, 0.1, 0.8])
    assert _nms(boxes, scores, 0.6).tolist() == [1, 3, 2]
    assert _nms(boxes, scores, 0.3).tolist() == [1, 2]
    assert _nms(boxes[:0], scores[:0], 0.5).tolist() == []


def test_detectors_of_transformers(monkeypatch):
    outputs = [dict(labels=torch.tensor([3, 7, 3]), boxes=torch.eye(4)[:3] * 50, scores=torch.tensor([0.9, 0.8, 0.7]))]

    class Batch(dict):
        def to(self, device):
            return self

    class Processor:
        @classmethod
        def from_pretrained(cls, name):
            return cls()

        def __call__(self, images, return_tensors):
            assert return_tensors == 'pt'
            return Batch(pixel_values=len(images))

        def post_process_object_detection(self, output, threshold, target_sizes):
            assert target_sizes == [(120, 90)] and output == 1
            return outputs

    class Model(torch.nn.Module):
        config = types.SimpleNamespace(id2label={3: 'Person', 7: 'dog'})

        @classmethod
        def from_pretrained(cls, name):
            return cls()

        def forward(self, pixel_values):
            return pixel_values

    fake = types.ModuleType('transformers')
    fake.AutoImageProcessor, fake.AutoModelForObjectDetection = Processor, Model
    monkeypatch.setitem(sys.modules, 'transformers', fake)
    detector = build_detector('transformers:some/model', 'cpu')
    boxes, scores = detector.find([picture((120, 90))])[0]
    assert scores.tolist() == pytest.approx([0.9, 0.7]) and boxes.tolist() == [[50, 0, 0, 0], [0, 0, 50, 0]]
    Model.config = types.SimpleNamespace(id2label={0: 'cat'})
    with pytest.raises(ValueError, match="no class 'person', but cat"):
        build_detector('transformers:some/model', 'cpu')


@pytest.mark.parametrize('name', ['nowhere/at/all', 'EMPTY'])
def test_a_folder_without_a_model_of_transformers_ends_in_one_line(name, tmp_path, monkeypatch):
    pytest.importorskip('transformers')
    name = str(tmp_path) if name == 'EMPTY' else name
    with pytest.raises(ValueError, match=f'detector transformers:{name} cannot be loaded: .') as refused:
        build_detector(f'transformers:{name}', 'cpu')
    assert is_user_error(refused.value) and '\n' not in str(refused.value)


def test_tries_of_the_hub_are_not_shown(tmp_path, monkeypatch, caplog):
    transformers = pytest.importorskip('transformers')
    log = logging.getLogger('huggingface_hub.utils')
    monkeypatch.setattr(transformers.AutoImageProcessor, 'from_pretrained', lambda name: log.warning('Retrying in 1s'))
    with pytest.raises(ValueError, match='cannot be loaded'):
        build_detector(f'transformers:{tmp_path}', 'cpu')
    assert 'Retrying' not in caplog.text
    monkeypatch.setenv('SAPIENS_VERBOSE', '1')
    with pytest.raises(ValueError, match='cannot be loaded'):
        build_detector(f'transformers:{tmp_path}', 'cpu')
    assert 'Retrying' in caplog.text


def test_transformers_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ImportError, match='pip install transformers'):
        build_detector('transformers:some/model', 'cpu')


def test_detectors_of_mmdetection(monkeypatch, tmp_path):
    seen = []
    instances = types.SimpleNamespace(
        bboxes=torch.tensor([[1.0, 2, 30, 40], [5, 5, 9, 9]]),
        scores=torch.tensor([0.9, 0.8]),
        labels=torch.tensor([0, 4]),
    )

    def infer(model, images):
        assert model == ('rtmdet.py', str(weights), 'cpu')
        seen.extend(images)
        return [types.SimpleNamespace(pred_instances=instances) for _ in images]

    fake = types.ModuleType('mmdet.apis')
    fake.inference_detector = infer
    fake.init_detector = lambda config, checkpoint, device: (config, checkpoint, device)
    monkeypatch.setitem(sys.modules, 'mmdet', types.ModuleType('mmdet'))
    monkeypatch.setitem(sys.modules, 'mmdet.apis', fake)
    weights = tmp_path / 'rtmdet.pth'
    weights.touch()
    detector = build_detector(f'mmdet:rtmdet.py,{weights}', 'cpu')
    image = picture((120, 90))
    assert detector([image])[0][0].tolist() == [[1, 2, 30, 40]]
    np.testing.assert_array_equal(seen[0], image[..., ::-1])  # as OpenCV reads it
