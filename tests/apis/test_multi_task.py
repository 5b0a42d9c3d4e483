"""Inference with several tasks on one encoder."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from sapiens.apis import ImageResults, Pipeline, batch_job, load_model
from sapiens.apis.fingerprint import fingerprint_of_config
from sapiens.apis.loading.load_model import inference_tasks, load_models
from sapiens.apis.predictors import DensePredictor, FeaturePredictor, PosePredictor
from sapiens.tasks import get_task
from sapiens.utils.config import load_config

from .tiny import lively, picture, write_pictures

RECIPE = 'multi/sapiens2_tiny_synthetic-128x96'
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
TASKS = ('normal', 'pose', 'seg')


@pytest.fixture(scope='module')
def cfg():
    cfg = load_config(RECIPE)
    cfg.model.backbone.arch = ARCH
    for part in cfg.model.tasks.values():
        for layers in {'deconv_channels', 'upsample_channels', 'conv_channels'} & set(part.head):
            part.head[layers] = (8,) * len(part.head[layers])
    return cfg


def single(cfg, task) -> Config:
    """The config of one task of it."""
    part = load_config(
        RECIPE.replace('multi/', f'{task}/').replace('synthetic', 'synthetic308' if task == 'pose' else 'synthetic')
    )
    part.model = dict(cfg.model.tasks[task], backbone=cfg.model.backbone)
    return part


@pytest.fixture(scope='module')
def files(cfg, tmp_path_factory):
    """Weights of all tasks, and of each alone."""
    folder = tmp_path_factory.mktemp('weights')
    state = lively(load_model(cfg, device='cpu').network).state_dict()
    torch.save(dict(state_dict=state), folder / 'all.pth')
    for task in TASKS:
        prefix = f'tasks.{task}.'
        own = {
            key.removeprefix(prefix): value for key, value in state.items() if key.startswith(('backbone.', prefix))
        }
        torch.save(dict(state_dict=own), folder / f'{task}.pth')
    return folder


def assert_equal(task, got, want):
    """Equal but for the rounding of batches of other sizes."""
    if task == 'pose':
        np.testing.assert_array_equal(got.boxes, want.boxes)
        np.testing.assert_allclose(got.scores, want.scores, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(got.keypoints, want.keypoints, atol=1e-2)
    elif task == 'seg':
        assert (got.labels == want.labels).mean() > 0.999
    else:
        np.testing.assert_allclose(got.normals, want.normals, atol=1e-4)


def count_passes(model):
    seen = dict(calls=0, images=0)

    def hook(module, inputs, outputs):
        seen.update(calls=seen['calls'] + 1, images=seen['images'] + len(inputs[0]))

    model.network.backbone.register_forward_hook(hook)
    return seen


def test_an_image_is_encoded_once_for_all_tasks(cfg, files):
    model = load_model(cfg, files / 'all.pth', device='cpu', flip_test=False)
    seen = count_passes(model)
    results = model(picture())
    assert isinstance(results, ImageResults) and tuple(results) == TASKS == model.tasks
    assert seen == dict(calls=1, images=1)
    assert model([picture(seed=1), picture((64, 200))])[1]['seg'].labels.shape == (64, 200)
    assert seen == dict(calls=2, images=3)
    tested = load_model(cfg, files / 'all.pth', device='cpu')  # the recipe mirrors the image for pose
    seen = count_passes(tested)
    tested(picture())
    assert seen == dict(calls=2, images=2)


def test_results_are_those_of_the_single_models(cfg, files):
    images = [picture(), picture((151, 97), seed=2), picture((64, 200), seed=3)]
    boxes = [[[10, 5, 70, 100]], [[0, 0, 50, 150], [30, 20, 90, 140]], np.zeros((0, 4))]
    together = load_model(cfg, files / 'all.pth', device='cpu', batch_size=2)(images, boxes)
    for task in TASKS:
        model = load_model(single(cfg, task), files / f'{task}.pth', device='cpu', batch_size=2)
        alone = model(images, boxes) if task == 'pose' else model(images)
        for got, want in zip(together, alone, strict=True):
            assert_equal(task, got[task], want)
    assert [len(results['pose'].keypoints) for results in together] == [1, 2, 0]


def test_a_person_who_is_the_image_shares_its_input(cfg, files):
    """The keypoints of the whole image are those of a crop that is resized like the image."""
    model = load_model(cfg, files / 'all.pth', device='cpu', flip_test=False)
    image = picture((100, 80))
    found = model(image)['pose']
    np.testing.assert_array_equal(found.boxes, [[0, 0, 80, 100]])
    network = model.network
    pixels = model.preprocess.samples(image, np.float32([[0, 0, 80, 100]]), np.ones(1))
    assert len(pixels) == 1 and set(pixels[0].samples) == set(TASKS)
    inputs = model.normalize(model.preprocess.on_host(image, pixels[0])[None])
    with torch.no_grad():
        part = network.tasks['pose']
        maps = part.loss_module.to_heatmaps(part.network(inputs))
        points, _ = part.codec.decode(
            maps, (95, 127)
        )  # in pixels of the input, between the centers of its outer pixels
    # LoadResize puts pixel x of the image to (x + 0.5) * 96 / 80 - 0.5.
    expected = (points[0].numpy() + 0.5) * np.array([80 / 96, 100 / 128]) - 0.5
    np.testing.assert_allclose(found.keypoints[0], expected, atol=1e-3)


def test_one_task_of_it(cfg, files):
    for task, kind in dict(pose=PosePredictor, seg=DensePredictor).items():
        model = load_model(cfg, files / 'all.pth', task=task, device='cpu')
        assert type(model) is kind and model.tasks == (task,)
        assert_equal(
            task, model(picture()), load_model(single(cfg, task), files / f'{task}.pth', device='cpu')(picture())
        )
    features = load_model(cfg, files / 'all.pth', task='features', device='cpu')
    assert type(features) is FeaturePredictor and features(picture()).features.shape == (32, 8, 6)


def test_some_of_its_tasks(cfg, files):
    model = load_model(cfg, files / 'all.pth', task=['seg', 'normal'], device='cpu')
    seen = count_passes(model)
    results = model(picture())
    assert tuple(results) == model.tasks == ('seg', 'normal') and seen == dict(calls=1, images=1)
    whole = load_model(cfg, files / 'all.pth', device='cpu', flip_test=False)(picture())
    for task in results:
        assert_equal(task, results[task], whole[task])
    with pytest.raises(
        ValueError, match=r"task='segs': the model has the tasks normal, pose, seg; did you mean 'seg'"
    ):
        load_model(cfg, task=['segs'], device='cpu')
    depth = load_config('depth/sapiens_tiny_synthetic-128x96')
    with pytest.raises(ValueError, match=r"task='depth': the model has one task, which needs no name"):
        load_model(depth, task=['depth'], device='cpu')


def test_several_models_of_several_tasks_side_by_side(cfg, files):
    parts = [
        load_model(cfg, files / 'all.pth', task=tasks, device='cpu', flip_test=False)
        for tasks in (['seg', 'pose'], ['normal'])
    ]
    results = Pipeline(parts)(picture())
    assert tuple(results) == ('seg', 'pose', 'normal')
    whole = load_model(cfg, files / 'all.pth', device='cpu', flip_test=False)(picture())
    for task in TASKS:
        assert_equal(task, results[task], whole[task])


def test_the_predictor_of_a_task_is_the_declared_one(cfg, files, monkeypatch):
    """A task outside of the package may have its own, with options of its own."""

    class Rounded(DensePredictor):
        options = (*DensePredictor.options, 'heatmaps')

        def __init__(self, *args, heatmaps=False, **options):
            super().__init__(*args, **options)
            self.heatmaps = heatmaps

        def read(self, samples):
            return [dict(normals=np.round(one['normals'])) for one in super().read(samples)]

    spec = dataclasses.replace(get_task('normal'), predictor=Rounded)
    monkeypatch.setitem(sys.modules['sapiens.tasks'].lookup._TASKS, 'normal', spec)
    model = load_model(cfg, files / 'all.pth', device='cpu', task=['normal', 'seg'], heatmaps=True)
    assert type(model.parts['normal']) is Rounded and model.parts['normal'].heatmaps
    assert set(np.unique(model(picture())['normal'].normals)) <= {-1, 0, 1}


def test_options_go_to_the_tasks_that_have_them(cfg, files):
    model = load_model(cfg, files / 'all.pth', device='cpu', num_keypoints=17, detector=lambda images: [
        (np.float32([[1, 2, 60, 80]]), np.ones(1, np.float32)) for _ in images
    ])  # fmt: skip
    results = model(picture())
    assert results['pose'].keypoints.shape == (1, 17, 2) and results['pose'].boxes.tolist() == [[1, 2, 60, 80]]
    without = Config(dict(cfg.to_dict()))
    del without.model.tasks['pose']
    with pytest.raises(
        ValueError, match="num_keypoints: for pose only, and the given config is used for 'normal' and 'seg'"
    ):
        load_model(without, device='cpu', num_keypoints=17)


def test_options_of_single_tasks(cfg, files):
    """Two tasks of one model with different options give what each gives alone, from one encoder."""
    image, where = picture((100, 80), seed=3), files / 'all.pth'
    options = dict(seg=dict(flip_test=True), normal=dict(flip_test=False), pose=dict(num_keypoints=17, flip_test=True))
    plain, tested = (load_model(cfg, where, device='cpu', flip_test=flip)(image) for flip in (False, True))
    assert np.abs(plain['normal'].normals - tested['normal'].normals).max() > 0.01
    assert (plain['seg'].labels != tested['seg'].labels).any()
    model = load_model(cfg, where, device='cpu', task=options)
    found = model(image)
    assert_equal('seg', found['seg'], tested['seg'])
    assert_equal('normal', found['normal'], plain['normal'])
    assert found['pose'].keypoints.shape == (1, 17, 2)
    with pytest.raises(ValueError, match=r"task={'seg': ...}: heatmaps is not one of the options of 'seg', flip_test"):
        load_model(cfg, where, device='cpu', task=dict(seg=dict(heatmaps=True)))

    common = dict(model=cfg, checkpoint=where, batch_size=2)
    models = {task: dict(common, task=task, **own) for task, own in options.items()}
    loaded = load_models(models, 'cpu')
    assert list(loaded) == ['seg'] and loaded['seg'].tasks == ('seg', 'normal', 'pose')
    found = loaded['seg'](image)
    assert_equal('seg', found['seg'], tested['seg'])
    assert_equal('normal', found['normal'], plain['normal'])
    models['normal'].update(batch_size=4)
    assert list(load_models(models, 'cpu')) == ['seg', 'normal'], 'options of the model are those of all its tasks'


def test_a_larger_batch_with_fixed_size(cfg, files):
    model = load_model(cfg, files / 'all.pth', device='cpu', batch_size=4, flip_test=False)
    want = model(picture())
    model.fixed_batch = True  # as with compile, which takes long
    got = model(picture())
    for task in TASKS:
        assert_equal(task, got[task], want[task])
    images, boxes = [picture(), picture(seed=1)], [[[10, 5, 70, 100]], [[0, 0, 50, 90], [30, 20, 80, 110]]]
    seen = []
    model.network.backbone.register_forward_hook(lambda module, inputs, outputs: seen.append(len(inputs[0])))
    crops = model(images, boxes)
    assert len(seen) > 2 and set(seen) == {4}, 'it is compiled for one number of images'
    model.fixed_batch = False
    for got, want in zip(crops, model(images, boxes), strict=True):
        for task in TASKS:
            assert_equal(task, got[task], want[task])


def test_inputs_made_on_the_device(cfg, files):
    """Normals near edges change with the rounding of pixels, scores hardly."""
    image, boxes = picture((150, 110)), [[10, 5, 90, 140], [0, 0, 60, 100]]
    host, device = (load_model(cfg, files / 'all.pth', device='cpu', crop=crop) for crop in ('host', 'device'))
    want, got = (model(image, boxes) for model in (host, device))
    np.testing.assert_allclose(got['pose'].scores, want['pose'].scores, atol=0.05)
    assert (got['seg'].labels == want['seg'].labels).mean() > 0.95
    assert np.median(np.abs(got['normal'].normals - want['normal'].normals)) < 0.02


def test_a_run_that_continues_knows_the_inputs_of_each_task(cfg):
    other = Config(dict(cfg.to_dict()))
    other.val_dataloader.dataset.datasets.normal.pipeline[1] = dict(type='LoadLetterbox', size=(96, 128))
    assert fingerprint_of_config(other) != fingerprint_of_config(cfg) == fingerprint_of_config(Config(cfg.to_dict()))


def test_side_by_side_with_other_models_and_saved(cfg, files, tmp_path):
    depth = load_config('depth/sapiens_tiny_synthetic-128x96')
    depth.model.backbone.arch = ARCH
    both = Pipeline([load_model(cfg, files / 'all.pth', device='cpu'), load_model(depth, device='cpu')])
    assert both.tasks == (*TASKS, 'depth')
    (path,) = write_pictures(tmp_path / 'in', ((90, 60),))
    results = both(path)
    written = {path.relative_to(tmp_path / 'out').parts[0] for path in results.save(tmp_path / 'out')}
    assert written == {*TASKS, 'depth'} and results.draw().shape[1] >= 5 * 60


def test_its_parts_mask_its_normals(cfg, files):
    """All classes, or some of them. Results may have other names than tasks."""
    model = load_model(cfg, files / 'all.pth', device='cpu')
    plain = model(picture())
    np.testing.assert_array_equal(plain['normal'].mask, plain['seg'].foreground)
    np.testing.assert_array_equal(Pipeline([model])(picture())['normal'].draw(), plain['normal'].draw())
    label = np.bincount(plain['seg'].labels[plain['seg'].labels > 0]).argmax()
    masking = dict(mask_by='seg', mask_classes=[plain['seg'].classes.classes[label]])
    found, mask = Pipeline([model], **masking)(picture()), plain['seg'].labels == label
    np.testing.assert_array_equal(np.isfinite(found['normal'].normals).all(-1), mask)
    assert np.isfinite(plain['normal'].normals).all() and 0 < mask.mean() < 1
    model.parts['parts'] = model.parts.pop('seg')
    renamed = Pipeline([model], **dict(masking, mask_by='parts'))
    assert renamed.masking.by == 'parts' and renamed.tasks == ('normal', 'pose', 'parts')
    with pytest.raises(
        ValueError, match="mask by 'seg': no model of this task is given, only for normal, pose, parts"
    ):
        Pipeline([model], **masking)


def test_what_does_not_fit_is_refused(cfg, files):
    with pytest.raises(ValueError, match=r"task='depth', but the given config is for 'normal' and 'pose' and 'seg'"):
        load_model(cfg, task='depth', device='cpu')
    with pytest.raises(ValueError, match=r'task=\[\]: expected the name of a task, or a list of names'):
        load_model(single(cfg, 'seg'), task=[], device='cpu')
    with pytest.raises(ValueError, match='has several tasks, which transformers has no models for'):
        load_model(cfg, processing='huggingface', device='cpu')
    other = Config(dict(cfg.to_dict()))
    pipeline = other.val_dataloader.dataset.datasets.normal.pipeline
    pipeline[1].size = (48, 64)
    with pytest.raises(ValueError, match=r"inputs of several sizes \(w, h\): {'normal': \(48, 64\)"):
        load_model(other, device='cpu')
    other.val_dataloader = None
    with pytest.raises(ValueError, match=r'no val_dataloader.dataset.datasets.normal'):
        load_model(other, device='cpu')


def test_tasks_that_load_the_image_differently_have_their_own_inputs(cfg, files):
    other = Config(dict(cfg.to_dict()))
    other.val_dataloader.dataset.datasets.normal.pipeline[1] = dict(type='LoadLetterbox', size=(96, 128))
    model = load_model(other, files / 'all.pth', device='cpu', flip_test=False)
    seen = count_passes(model)
    model(picture((100, 40)))
    assert seen['images'] == 2


FULL_SIZE = 'multi/sapiens2_0.4b_goliath-1024x768'


def test_the_recipe_at_full_size_encodes_a_photograph_once(cfg):
    """With few channels, at a quarter of the size. Without boxes pose sees the letterboxed image of parts and normals, which is
    not stretched."""
    full = load_config(FULL_SIZE)
    for part in full.val_dataloader.dataset.datasets.values():
        for step in part.pipeline:
            step.update(size=(192, 256)) if 'size' in step else None
    full.model.backbone.update(arch=ARCH, init_cfg=None, img_size=(256, 192))
    for task, part in full.model.tasks.items():
        part.head.update(cfg.model.tasks[task].head)
    model = load_model(full, device='cpu', flip_test=False)
    lively(model.network)
    seen = count_passes(model)
    image = picture((300, 500))
    results = model(image)
    assert seen == dict(calls=1, images=1) and tuple(results) == TASKS
    assert results['seg'].labels.shape == results['normal'].normals.shape[:2] == (300, 500)
    (one,) = model.preprocess.samples(image, np.float32([[0, 0, 500, 300]]), np.ones(1))
    matrices = [sample.warp_matrix for sample in one.samples.values()]
    assert set(one.samples) == set(TASKS) and all((matrix == matrices[0]).all() for matrix in matrices)
    factor, top = 192 / 500, (256 - 115) // 2
    assert matrices[0][0].tolist() == pytest.approx([factor, 0, (factor - 1) / 2])
    assert matrices[0][1].tolist() == pytest.approx([0, factor, (factor - 1) / 2 + top], rel=1e-2)
    pixels = model.preprocess.on_host(image, one)
    assert pixels.shape == (3, 256, 192) and not pixels[:, :top].any() and pixels[:, top + 1].any()
    # Keypoints are decoded in the input and come back by its matrix.
    with torch.no_grad():
        part = model.network.tasks['pose']
        maps = part.loss_module.to_heatmaps(part.network(model.normalize(pixels[None])))
        points, _ = part.codec.decode(maps, (191, 255))  # between the centers of the outer pixels
    in_input = results['pose'].keypoints[0] @ matrices[0][:, :2].T + matrices[0][:, 2]
    np.testing.assert_allclose(in_input, points[0].numpy(), atol=2e-2)


def infer(*arguments):
    from sapiens.commands import infer

    return infer.main([str(argument) for argument in arguments])


def test_the_command_writes_all_tasks_of_one_pass_and_masks_by_parts(cfg, files, tmp_path, monkeypatch):
    cfg.dump(str(tmp_path / 'all.py'))
    write_pictures(tmp_path / 'in')
    passes = []
    load = batch_job.load_models

    def counted(models, device):
        loaded = load(models, device)
        passes.extend(count_passes(model) for model in loaded.values())
        return loaded

    monkeypatch.setattr(batch_job, 'load_models', counted)
    model = ('--model', tmp_path / 'all.py', '--checkpoint', files / 'all.pth', '--device', 'cpu', '--workers', 1)
    assert infer('all', tmp_path / 'in', *model, '--no-flip-test', '--mask-by', 'seg', '--out', tmp_path / 'out') == 0
    assert passes == [dict(calls=1, images=4)]
    for task, suffix in (('pose', '.json'), ('seg', '.npy'), ('normal', '.npy')):
        assert (tmp_path / 'out' / task / f'2{suffix}').exists()
    outside = np.load(tmp_path / 'out' / 'seg' / '2.npy') == 0
    normals = np.load(tmp_path / 'out' / 'normal' / '2.npy')
    assert np.array_equal(np.isnan(normals).any(-1), outside)
    assert (tmp_path / 'out' / 'pose' / 'keypoints.coco.json').exists()
    assert infer('all', tmp_path / 'in', *model, '--no-flip-test', '--mask-by', 'seg', '--out', tmp_path / 'out') == 0
    assert len(passes) == 1, 'nothing was left to do'
    masks = ('--mask-model', tmp_path / 'all.py', '--mask-checkpoint', files / 'all.pth')
    assert infer('normal', tmp_path / 'in', *model, *masks, '--out', tmp_path / 'masked') == 0
    assert passes[1:] == [dict(calls=1, images=4)] and not (tmp_path / 'masked' / 'pose').exists()
    assert infer('seg', tmp_path / 'in', *model, '--out', tmp_path / 'seg') == 0
    assert sorted(path.suffix for path in (tmp_path / 'seg').glob('2*')) == sorted(
        path.suffix for path in (tmp_path / 'out' / 'seg').glob('2*')
    )
    with pytest.raises(ValueError, match="is a model for 'normal' and 'pose' and 'seg', not for 'depth'"):
        infer('depth', tmp_path / 'in', *model, '--out', tmp_path / 'no')


def test_tasks_of_other_names_have_no_files(cfg, tmp_path):
    tasks = {'body' if name == 'pose' else name: part for name, part in cfg.model.tasks.items()}
    with pytest.raises(ValueError, match="calls its task 'pose' 'body': files of results are named after tasks"):
        inference_tasks(Config(dict(model=dict(cfg.model, tasks=tasks))))
