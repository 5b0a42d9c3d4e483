"""Models of several tasks on one reading of each image."""

import numpy as np
import pytest

from sapiens.apis import ImageResults, Pipeline, PoseResult, load_model
from sapiens.apis.predictors import calls, side_by_side
from sapiens.apis.predictors.base import Predictor
from sapiens.apis.results import Saving
from sapiens.datasets.transforms import BadImage

from .tiny import SIZES, config, lively, picture, write_pictures

KINDS = ('pose', 'seg', 'normal')


@pytest.fixture(scope='module')
def models():
    made = {kind: load_model(config(kind), device='cpu', batch_size=2) for kind in KINDS}
    for model in made.values():
        lively(model.network)
    return made


def same(one, other) -> bool:
    values = dict(pose='keypoints', seg='labels', normal='normals')
    first, second = (getattr(result, values[one.task]) for result in (one, other))
    return np.allclose(first, second, rtol=1e-4, atol=1e-3)


def count_reads(monkeypatch) -> list:
    read, plain = [], calls.read_pixels
    monkeypatch.setattr(calls, 'read_pixels', lambda image: read.append(image) or plain(image))
    return read


def test_each_image_is_read_once_and_people_are_found_once(models, tmp_path, monkeypatch):
    paths = write_pictures(tmp_path)
    asked, read = [], count_reads(monkeypatch)

    def detector(images):
        asked.extend(image.shape[:2] for image in images)
        return [(np.array([[1, 2, 40, 50]], np.float32), np.ones(1, np.float32)) for _ in images]

    together = Pipeline(list(models.values()), detector=detector)
    assert together.tasks == KINDS and repr(together) == 'Pipeline(pose, seg, normal)'
    results = together(paths)
    assert sorted(map(str, read)) == sorted(map(str, paths)) and asked == list(SIZES)
    for path, size, one in zip(paths, SIZES, results, strict=True):
        assert list(one) == list(KINDS) and len(one) == 3 and one.path == str(path) and one.image.shape[:2] == size
        assert one['pose'].boxes.tolist() == [[1, 2, 40, 50]]
        for kind in ('seg', 'normal'):
            assert same(one[kind], models[kind](path))
        assert same(one['pose'], models['pose'](path, boxes=[1, 2, 40, 50]))
        with pytest.raises(KeyError, match="no result of 'depth': there are pose, seg, normal"):
            one['depth']


def test_a_bad_file_is_named_and_the_others_go_on(models, tmp_path):
    paths = write_pictures(tmp_path)
    paths[1].write_bytes(b'nothing')
    found = dict(Pipeline(list(models.values())).stream(iter(paths)))
    assert [isinstance(found[path], BadImage) for path in paths] == [False, True, False, False]
    assert all(list(found[path]) == list(KINDS) for path in paths if path != paths[1])
    with pytest.raises(BadImage, match=r'1\.png: not an image'):
        Pipeline([models['seg']])(paths)


def test_zero_people_and_given_boxes(models):
    together = Pipeline([models['pose'], models['seg']])
    nobody, two = together([picture(), picture(seed=1)], boxes=[[], [[0, 0, 30, 40], [5, 6, 70, 80]]])
    assert [len(results['pose']) for results in (nobody, two)] == [0, 2]
    assert all(results['seg'].labels.shape == (120, 90) for results in (nobody, two))


def test_detectors_by_name_and_of_a_model(models, monkeypatch):
    seen = []
    monkeypatch.setattr(side_by_side, 'build_detector', lambda *given: seen.append(given) or 'built')
    assert Pipeline([models['pose'], models['seg']], detector='embedded').detector == 'built' and seen == [
        ('embedded', 'cpu')
    ]
    monkeypatch.setattr(models['pose'], 'detector', 'own')
    assert Pipeline([models['seg'], models['pose']]).detector == 'own'
    other = Twice(models['pose'])
    other.members = lambda: dict(both=other)
    with pytest.raises(ValueError, match='2 of the models have a detector: give one to the pipeline'):
        Pipeline([models['pose'], other])
    assert Pipeline([models['pose'], other], detector=len).detector is len


def test_contradictions_are_refused(models):
    with pytest.raises(ValueError, match='at least one model'):
        Pipeline([])
    with pytest.raises(ValueError, match="two models for 'seg'"):
        Pipeline([models['seg'], models['pose'], models['seg']])
    with pytest.raises(ValueError, match='the models for seg and normal see the whole image'):
        Pipeline([models['seg'], models['normal']], detector=lambda images: [])
    with pytest.raises(ValueError, match="boxes: a model for 'seg' and 'normal' sees the whole image"):
        Pipeline([models['seg'], models['normal']])(picture(), boxes=[[0, 0, 5, 5]])
    with pytest.raises(ValueError, match='at least one task'):
        ImageResults({})
    seg = models['seg']
    with pytest.raises(ValueError, match='several sizes'):
        ImageResults(dict(seg=seg(picture()), normal=models['normal'](picture((50, 60)))))


class Twice(Predictor):
    """A model of two tasks: one network, whose output is read as two results."""

    def __init__(self, model):
        self.__dict__.update(model.__dict__)
        self.model, self.task = model, 'both'

    def members(self):
        return dict(seg=self.model, normal=self.model)

    def predict_batch(self, inputs, samples):
        return self.model.predict_batch(inputs, samples)

    def result(self, image, path, outputs):
        seg = self.model.result(image, path, outputs)
        return ImageResults(dict(seg=seg, normal=seg))


def test_a_model_of_several_tasks_is_one_of_the_pipeline(models, tmp_path):
    """Its results stand beside those of the other models, which may finish later."""
    paths, both = write_pictures(tmp_path), Twice(models['seg'])
    alone = both(paths)
    assert [list(results) for results in alone] == [['seg', 'normal']] * len(paths)
    together = Pipeline([both, models['pose']])(paths)
    assert [list(results) for results in together] == [['seg', 'normal', 'pose']] * len(paths)
    assert all(same(one['seg'], other['seg']) for one, other in zip(together, alone, strict=True))
    with pytest.raises(ValueError, match="two models for 'seg'"):
        Pipeline([both, models['seg']])


def test_files_and_a_figure_of_all_tasks(models, tmp_path):
    results = Pipeline(list(models.values()))(picture((60, 40)))
    written = {str(path.relative_to(tmp_path)) for path in results.save(tmp_path, 'a', map_format='png')}
    assert written == {
        'pose/a.json', 'pose/a.jpg', 'seg/a.png', 'seg/a_seg.png', 'seg/a.jpg', 'normal/a.npy', 'normal/a.jpg',
    }  # fmt: skip
    figure = results.draw(side=None)
    assert figure.shape[1] == 4 * 44 - 4 and figure.dtype == np.uint8
    figure_below = figure[15:]  # names are above
    np.testing.assert_array_equal(figure_below[:60, :40], results.image)
    for place, kind in enumerate(KINDS, 1):
        drawn = results[kind].draw()
        np.testing.assert_array_equal(figure_below[:60, 44 * place : 44 * place + 40], drawn[:60])
    assert results.draw(side=30).shape[:2] < figure.shape[:2]
    tallest = max(results[kind].picture(Saving()).shape[0] for kind in KINDS)
    assert figure.shape[0] == 15 + tallest, 'names above, legends below'
    large = ImageResults({'pose': PoseResult(image=np.zeros((900, 1200, 3), np.uint8))})
    sheet = large.figure([large.image], side=None)
    assert sheet.shape == (900 + 30, 2 * 1200 + 4, 3), 'names stay legible above large pictures'
    with pytest.raises(ValueError, match='give one'):
        results.save(tmp_path)
