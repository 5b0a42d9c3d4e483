"""Figures of pose estimation in training and in a test, and what their hooks share with other tasks."""

import itertools
import types

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.structures import PixelData
from mmpose.structures import PoseDataSample
from PIL import Image

from sapiens.datasets import ResumableSampler, stack_collate
from sapiens.engine import PosePictureHook, PoseShowHook, Runner, TrainingFigureHook, run_state, show_hook_for
from sapiens.engine.hooks.pose_heatmaps import heatmaps_of
from sapiens.engine.hooks.test_figures import base as show_base
from sapiens.engine.hooks.test_figures import pose as show
from sapiens.engine.hooks.training_figures import pose as training
from sapiens.metainfo import get_skeleton
from sapiens.models import HeatmapCrossEntropyLoss, UDPHeatmap
from sapiens.visualization import draw_pose
from sapiens.visualization.layout import GAP, LINE

from .stub_pose import CENTER, SCALE, People, StubPose, crop_points

_number = itertools.count()


@pytest.fixture(autouse=True)
def no_environment_report(monkeypatch):
    monkeypatch.setattr('sapiens.engine.Runner._log_env', lambda *_: None)


def make_runner(work_dir, dataset, hooks, iterations=3, workers=0, **kwargs):
    loader = dict(batch_size=2, num_workers=workers, dataset=dataset, collate_fn=dict(type=stack_collate))
    torch.manual_seed(0)
    return Runner(
        model=StubPose(),
        work_dir=str(work_dir),
        train_dataloader=dict(loader, sampler=dict(type=ResumableSampler, shuffle=True), drop_last=True),
        train_cfg=dict(type='TrainLoop', max_iters=iterations),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)),
        test_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        test_cfg=dict(),
        test_evaluator=[Nothing()],
        default_hooks=dict(
            sampler_seed=None, checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False, save_last=False)
        ),
        custom_hooks=hooks,
        default_scope='sapiens',
        experiment_name=f'pictures{next(_number)}',
        randomness=dict(seed=1),
        log_processor=dict(by_epoch=False),
        **kwargs,
    )


class Nothing(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return {}


@pytest.fixture
def panels(monkeypatch):
    """Record the figures."""
    drawn = []
    real = training.draw_pose_panel

    def draw(rows, *args, **kwargs):
        drawn.append(rows)
        return real(rows, *args, **kwargs)

    monkeypatch.setattr(training, 'draw_pose_panel', draw)
    return drawn


# ------------------------------------------------------------------ while training


@pytest.mark.parametrize('workers', [0, 1])  # samples from a worker have views of the stacked labels
def test_predictions_and_labels_are_drawn_in_pixels_of_the_crop(workers, tmp_path, panels):
    hook, people = PosePictureHook(interval=2, num_images=2), People(tmp_path, images=range(8))
    runner = make_runner(tmp_path, people, [hook], workers=workers)
    runner.train()
    files = sorted(path.name for path in tmp_path.glob('*/vis_data/*.png'))
    assert files == ['pose_0000002.png', 'pose_0000003.png']  # the last one at the end
    assert len(panels) == 2 and [len(rows) for rows in panels] == [2, 2]
    assert [row.name for row in panels[0]] == [row.name for row in panels[1]]
    for row in panels[0]:
        index = row.image[0, 0, 0] // 10
        assert row.name == f'augmented: {index}.png #{100 + index}'
        np.testing.assert_allclose(row.true_keypoints, crop_points(index))
        np.testing.assert_allclose(
            row.keypoints, crop_points() + np.array([2, 0]), rtol=1e-5
        )  # not in those of the image
        assert row.heatmaps.shape == (17, 8, 6) and row.visible.sum() == 17
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'Pose figure: ' in log and 'pose_0000002.png' in log
    assert runner.model.test_cfg == dict(output_heatmaps=False, keypoints=None) and runner.model.training


def test_unlabelled_crops_some_keypoints_and_no_heatmaps(tmp_path, panels):
    hook = PosePictureHook(interval=1, num_images=1, heatmaps=False)
    runner = make_runner(tmp_path, People(tmp_path, labelled=False), [hook], iterations=1)
    runner.train()
    assert panels[0][0].true_keypoints is None and panels[0][0].heatmaps is None
    assert runner.model.asked == [False]

    hook = PosePictureHook(interval=1, num_images=1)
    runner = make_runner(tmp_path, People(tmp_path), [hook], iterations=1)
    runner.model.test_cfg['keypoints'] = ['left_knee', 'nose']
    runner.train()
    maps = panels[-1][0].heatmaps
    assert maps.shape[0] == 17 and sorted(np.flatnonzero(maps.any((1, 2)))) == [0, 13]


def test_heatmaps_that_equal_their_target_have_a_peak_of_one():
    model, sample = StubPose(), PoseDataSample()
    codec = UDPHeatmap(sigma=1.5)
    target, _ = codec.encode(torch.full((1, 17, 2), 47.0), torch.ones(1, 17), (96, 96), (96, 96))
    sample.pred_fields = PixelData(heatmaps=target[0])
    assert heatmaps_of(sample, model).max() == pytest.approx(1)
    model.codec, model.loss_module = codec, HeatmapCrossEntropyLoss()
    sample.pred_fields = PixelData(heatmaps=target[0] / target[0].sum((1, 2), keepdim=True))
    assert heatmaps_of(sample, model).max() == pytest.approx(1, abs=0.02)


def test_drawing_leaves_the_training_as_it_is(tmp_path):
    people, losses = People(tmp_path, images=range(8)), []
    for name, hooks in (('without', []), ('with', [PosePictureHook(interval=1, num_images=2)])):
        runner = make_runner(tmp_path / name, people, hooks, iterations=4)
        runner.train()
        losses.append(runner.message_hub.get_scalar('train/loss').data[0].tolist())
    assert len(runner.model.asked) == 4 * 2
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_the_panel_survives_a_resume(tmp_path, panels):
    people = People(tmp_path, images=range(8))
    make_runner(tmp_path, people, [PosePictureHook(interval=2, num_images=2)], iterations=2).train()
    saved = torch.load(tmp_path / 'iter_2.pth', weights_only=True)['panels']['pose']
    assert [row['image'].dtype for row in saved] == [torch.uint8] * 2
    hook = PosePictureHook(interval=2, num_images=2)
    resumed = make_runner(tmp_path, people, [hook], iterations=4, resume=True)
    resumed.train()
    first, later = panels[0], panels[-1]
    assert len(panels) == 2
    for one, two in zip(first, later, strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.true_keypoints, two.true_keypoints)
    # Nothing is drawn where nothing is trained.
    make_runner(tmp_path, people, [PosePictureHook(interval=2)], iterations=4, resume=True).train()
    assert len(panels) == 2
    # Fewer rows are wanted now.
    fewer = PosePictureHook(num_images=1)
    fewer.load_state_dict(hook.state_dict())
    assert len(fewer.rows) == 1 and f'augmented: {fewer.rows[0]["name"]}' == first[0].name


def test_only_the_main_process_keeps_a_panel_and_only_in_full_checkpoints(tmp_path, monkeypatch):
    hook, batch = PosePictureHook(), dict(inputs=torch.zeros(1, 3, 4, 4), data_samples=[None])
    with monkeypatch.context() as other:
        other.setattr('sapiens.engine.hooks.training_figures.base.is_main_process', lambda: False)
        hook.before_train_iter(None, 0, batch)
        assert hook.rows is None
    runner = make_runner(tmp_path, People(tmp_path), [hook], iterations=2)
    runner.train()
    checkpoint = torch.load(tmp_path / 'iter_2.pth', weights_only=True)
    assert list(checkpoint['panels']) == ['pose']
    saved = checkpoint['panels']['pose']
    runner.save_checkpoint(str(tmp_path), 'weights.pth', save_optimizer=False)
    assert 'panels' not in torch.load(tmp_path / 'weights.pth', weights_only=True)
    hook.rows = None
    with monkeypatch.context() as other:
        other.setattr(run_state, 'is_main_process', lambda: False)
        run_state.restore_state(runner, checkpoint, 'x')
        assert hook.rows is None and 'panels' not in run_state.collect_state(runner)
    run_state.restore_state(runner, dict(checkpoint, panels=dict(reconstruction=saved)), 'x')
    assert hook.rows is None  # of another hook
    run_state.restore_state(runner, checkpoint, 'x')
    assert hook.rows[0]['name'] == saved[0]['name'] and hook.rows[0]['image'] is not saved[0]['image']


def test_a_drawing_takes_few_lines(tmp_path):
    class Numbers(TrainingFigureHook):
        name = 'numbers'

        def labels(self, sample):
            return dict(id=sample.get('id'))

        def sample(self, row, index):
            return PosePictureHook.sample(self, row, index)

        def figure(self, model, rows, samples):
            return np.array([[[row['id']] * 3 for row in rows]], np.uint8)

    sent = []
    runner = make_runner(tmp_path, People(tmp_path, images=range(8)), [Numbers(interval=2, num_images=3)])
    add_image = lambda name, picture, step: sent.append((name, picture[0, :, 0].tolist(), step))  # noqa: E731
    other = types.SimpleNamespace(add_image=add_image, add_scalars=lambda *_, **__: None, close=lambda: None)
    runner.visualizer._vis_backends['other'] = other
    runner.train()
    assert [(name, step) for name, _, step in sent] == [('numbers', 2), ('numbers', 3)]
    assert sent[0][1] == sent[1][1] and len(set(sent[0][1])) == 2  # a batch has two images
    (file,) = tmp_path.glob('*/vis_data/numbers_0000002.png')
    assert np.asarray(Image.open(file))[0, :, 0].tolist() == sent[0][1]
    with pytest.raises(ValueError, match='num_images=0'):
        Numbers(num_images=0)


def test_training_mode_and_random_state_come_back_after_a_failure(tmp_path, monkeypatch):
    runner = make_runner(tmp_path, People(tmp_path), [])
    hook = PosePictureHook()
    hook.before_train_iter(runner, 0, next(iter(runner.train_dataloader)))
    runner.model.train()
    before, state = runner.model.test_cfg, torch.get_rng_state()

    def fail(*args, **kwargs):
        torch.rand(5)
        raise ArithmeticError

    monkeypatch.setattr(runner.model, 'test_step', fail)
    with pytest.raises(ArithmeticError):
        hook.draw(runner, 1)
    assert runner.model.training and runner.model.test_cfg is before and torch.equal(torch.get_rng_state(), state)


# ------------------------------------------------------------------ in a test


def test_one_figure_for_all_people_of_an_image(tmp_path):
    people = People(tmp_path, images=(0, 0, 1, 1, 1))
    hook = PoseShowHook(tmp_path / 'out', side=60)
    make_runner(tmp_path / 'run', people, [hook]).test()
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['0.jpg', '1.jpg']
    picture = np.asarray(Image.open(tmp_path / 'out' / '0.jpg')).astype(int)
    assert picture.shape == (LINE + 50, 2 * 60 + GAP, 3)
    image, offset = np.full((50, 60, 3), 90, np.uint8), CENTER - SCALE / 2
    truth = np.stack([crop_points(0) + offset, crop_points(1) + offset])
    found = (crop_points() + np.array([2, 0])) / [23, 31] * SCALE + offset
    boxes = [[18, 9, 42, 41]]
    expected = draw_pose(image, truth, None, 'coco17')
    assert abs(picture[LINE:, :60] - expected).mean() < 4  # what JPEG leaves of it
    expected = draw_pose(image, np.stack([found, found]), None, 'coco17', boxes=boxes)
    assert abs(picture[LINE:, -60:] - expected).mean() < 4
    assert abs(picture[LINE:, -60:] - picture[LINE:, :60]).mean() > 8


def shown(monkeypatch):
    calls = []
    real = show.draw_pose

    def draw(image, keypoints, *args, **kwargs):
        calls.append(dict(kwargs, count=len(keypoints), keypoints=keypoints))
        return real(image, keypoints, *args, **kwargs)

    monkeypatch.setattr(show, 'draw_pose', draw)
    return calls


def test_detections_with_the_labels_of_the_metric(tmp_path, monkeypatch):
    calls = shown(monkeypatch)
    people = People(tmp_path, images=(7, 7, 7, 8), scores=[0.9, 0.2, 0.5, 0.9], labelled=False)
    runner = make_runner(tmp_path / 'run', people, [PoseShowHook(tmp_path / 'out', box_threshold=0.4, side=60)])
    metric = runner.test_loop.evaluator.metrics[0]
    metric.annotated = get_skeleton('coco17')
    visible = np.ones((4, 17), bool)
    visible[1] = False
    metric.people = types.SimpleNamespace(
        image_ids=[7, 9], image=np.array([0, 0, 0, 1]), keypoints=np.arange(4.0)[:, None, None] + np.full((4, 17, 2), 9.0),
        visible=visible, crowd=np.array([False, False, True, False]),
    )  # fmt: skip
    runner.test()
    # Ground truth and prediction of image 7, then of image 8, which the metric does not know. Of the four people of the file
    # one has no keypoints, one is a crowd, one is elsewhere.
    assert [call['count'] for call in calls] == [1, 2, 0, 1]
    assert (calls[0]['keypoints'] == 9).all()
    metric.annotated = get_skeleton('wholebody133')  # its people say nothing of 17 keypoints
    runner.test()
    assert [call['count'] for call in calls[4:]] == [0, 2, 0, 1]


def test_heatmaps_are_asked_for_as_long_as_they_are_drawn(tmp_path, monkeypatch):
    maps = []
    real = show.draw_heatmaps
    monkeypatch.setattr(
        show, 'draw_heatmaps', lambda *args, **kwargs: maps.append((args, kwargs)) or real(*args, **kwargs)
    )
    people = People(tmp_path, images=(0, 0, 1, 2, 3, 4))
    hook = PoseShowHook(tmp_path / 'out', limit=1, heatmaps=True, side=60)
    runner = make_runner(tmp_path / 'run', people, [hook])
    runner.test()
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['0.jpg']
    assert runner.model.asked == [True, True, False]  # the end of an image shows with the next batch
    assert not runner.model.test_cfg['output_heatmaps']
    (((_, drawn, _), kwargs),) = maps
    assert len(drawn) == 2 and drawn[0].shape == (17, 8, 6)
    # The outermost cells on the ends of the crop, as predictions are mapped.
    matrix = kwargs['transforms'][0]
    np.testing.assert_allclose(matrix @ [0, 0, 1], CENTER - SCALE / 2)
    np.testing.assert_allclose(matrix @ [5, 7, 1], CENTER + SCALE / 2)
    assert np.asarray(Image.open(tmp_path / 'out' / '0.jpg')).shape[1] == 3 * 60 + 2 * GAP


def test_names_of_figures_are_unique(tmp_path):
    (tmp_path / 'a').mkdir(), (tmp_path / 'b').mkdir()
    people = People(tmp_path / 'a', images=(0, 1, 0, 0))
    people.paths[3] = str(tmp_path / 'b' / '0.png')
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(people.paths[3])
    make_runner(tmp_path / 'run', people, [PoseShowHook(tmp_path / 'out')]).test()
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['0-2.jpg', '0-3.jpg', '0.jpg', '1.jpg']


@pytest.mark.parametrize(('rank', 'names'), [(0, ['0.rank0.jpg', '1.rank0.jpg']), (1, ['0.rank1.jpg'])])
def test_every_process_writes_its_own_files(tmp_path, monkeypatch, rank, names):
    people = People(tmp_path, images=(0, 1, 2))
    runner = make_runner(tmp_path / 'run', people, [PoseShowHook(tmp_path / 'out', limit=3)])
    monkeypatch.setattr(show_base, 'get_world_size', lambda: 2)
    monkeypatch.setattr(show_base, 'get_rank', lambda: rank)
    runner.test()
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == names


def test_models_without_a_drawing_are_named():
    for name in ('PoseEstimator', 'sapiens.PoseEstimator'):
        assert show_hook_for(dict(type=name)) is PoseShowHook
    with pytest.raises(ValueError, match="model.type='MAE': task 'mae' has no test figures.*--show-dir"):
        show_hook_for(dict(type='MAE'))
    with pytest.raises(ValueError, match='limit=0'):
        PoseShowHook('x', limit=0)
