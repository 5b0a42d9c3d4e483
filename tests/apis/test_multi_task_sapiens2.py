"""Pointmaps, matting and albedo on one encoder, with normals and parts: training, inference, masks, export."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from sapiens.apis import Pipeline, load_model
from sapiens.apis.export import ExportOptions, export_model, load_export
from sapiens.registry import MODELS
from sapiens.utils.join_tasks import join_tasks

from ..integration import status_of
from ..models.test_gradients import samples
from .tiny import lively, picture, write_pictures

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
TASKS = ('albedo', 'matting', 'normal', 'pointmap', 'seg')
MAPS = dict(albedo='albedo', matting='alpha', normal='normals', pointmap='points')


@pytest.fixture(scope='module')
def cfg():
    joined = join_tasks(**{task: f'{task}/sapiens2_tiny_synthetic-128x96' for task in TASKS})
    cfg = Config(dict(model=joined['model'], val_dataloader=dict(dataset=joined['val_dataset'])))
    cfg.model.backbone.arch = ARCH
    for part in cfg.model.tasks.values():
        for layers in {'deconv_channels', 'upsample_channels', 'conv_channels'} & set(part.head):
            part.head[layers] = (8,) * len(part.head[layers])
    return cfg


@pytest.fixture(scope='module')
def weights(cfg, tmp_path_factory):
    network = lively(load_model(cfg, device='cpu').network)
    last = network.tasks['pointmap'].head.scale_final_layer[-1]
    last.weight.data.mul_(0.1)
    last.bias.data.fill_(1.0)
    pixels = torch.from_numpy(picture((128, 96))).permute(2, 0, 1)
    with torch.no_grad():  # half of the pixels are background
        scores = network(network.data_preprocessor.normalize(pixels)[None])['seg'][0]
        network.tasks['seg'].head.conv_seg.bias[0] += (scores[1:].amax(0) - scores[0]).median()
    path = tmp_path_factory.mktemp('weights') / 'all.pth'
    torch.save(dict(state_dict=network.state_dict()), path)
    return path


def test_a_step_trains_the_head_of_its_task(cfg, weights):
    model = MODELS.build(cfg.model).train()
    model.load_state_dict(torch.load(weights, weights_only=True)['state_dict'])
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    for task, names in (
        ('pointmap', ('l1', 'l1_2', 'shift', 'silog', 'intrinsics', 'normal', 'scale')),
        ('matting', ('l1', 'gradient', 'laplacian')),
        ('albedo', ('l1', 'gradient', 'chromaticity')),
    ):
        batch = samples(task)
        for sample in batch:
            sample.set_metainfo(dict(task=task))
        before = {name: value.clone() for name, value in model.named_parameters()}
        losses = model.loss(torch.randn(2, 3, 128, 96), batch)
        found = {name.removeprefix(f'{task}_loss_') for name in losses if 'loss' in name}
        assert len(found) == len(names) and all(name.startswith(f'{task}_') for name in losses)
        optimizer.zero_grad(set_to_none=True)
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        optimizer.step()
        changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
        assert {name.split('.')[1] for name in changed if name.startswith('tasks.')} == {task}
        assert any(name.startswith('backbone.') for name in changed)
        if task == 'pointmap':
            assert any('.scale_final_layer.' in name for name in changed)


def test_results_of_one_pass_are_those_of_the_single_models(cfg, weights):
    model, seen = load_model(cfg, weights, device='cpu', flip_test=False), []
    model.network.backbone.register_forward_hook(lambda module, inputs, outputs: seen.append(len(inputs[0])))
    image = picture((90, 70))
    found = model(image)
    assert tuple(found) == model.tasks == TASKS and seen == [1]
    for task, name in MAPS.items():
        alone = load_model(cfg, weights, task=task, device='cpu', flip_test=False)(image)
        assert type(alone) is type(found[task])
        np.testing.assert_allclose(getattr(found[task], name), getattr(alone, name), rtol=1e-3, atol=1e-3)
    assert found['pointmap'].focal > 0
    known = load_model(cfg, weights, task=dict(pointmap=dict(focal=200.0), albedo={}), device='cpu')(image)
    assert known['pointmap'].focal == 200 and tuple(known) == ('pointmap', 'albedo')


@pytest.mark.parametrize(('by', 'mask'), [('matting', 'person'), ('seg', 'foreground')])
def test_normals_pointmaps_and_albedo_are_cut_out_in_the_same_call(cfg, weights, by, mask):
    image = picture((90, 70))
    model = load_model(cfg, weights, device='cpu', flip_test=False)
    plain, cut = model(image), Pipeline([model], mask_by=by)(image)
    person = getattr(plain[by], mask)
    assert 0 < person.mean() < 1
    for task in ('albedo', 'normal', 'pointmap'):
        values = getattr(cut[task], MAPS[task])
        np.testing.assert_array_equal(np.isfinite(values).all(-1), person)
        np.testing.assert_array_equal(values[person], getattr(plain[task], MAPS[task])[person])
    np.testing.assert_array_equal(cut['matting'].alpha, plain['matting'].alpha)


def test_the_command_cuts_out_by_a_head_of_the_same_model(cfg, weights, tmp_path, capsys):
    write_pictures(tmp_path / 'in', [(90, 70)])
    cfg.dump(str(tmp_path / 'all.py'))
    arguments = 'all', tmp_path / 'in', '--model', tmp_path / 'all.py', '--checkpoint', weights, '--device', 'cpu'
    assert status_of('infer', *arguments, '--mask-by', 'matting', '--out', tmp_path / 'out') == 0, (
        capsys.readouterr().err
    )
    person = np.load(tmp_path / 'out/matting/0_alpha.npy') >= 0.5
    assert 0 < person.mean() < 1
    for task in ('albedo', 'normal', 'pointmap'):
        np.testing.assert_array_equal(np.isfinite(np.load(tmp_path / f'out/{task}/0.npy')).all(-1), person)


@pytest.mark.parametrize('decode', [False, True])
def test_one_graph_has_the_outputs_of_all_tasks(cfg, weights, tmp_path, decode):
    options = ExportOptions('torchscript', decode=decode, dynamic_batch=True)
    report = export_model(cfg, weights, options, tmp_path / 'all.pt2')
    names = {
        False: ['albedo.raw_albedo', 'matting.raw_foreground', 'matting.raw_alpha', 'normal.raw_normals',
                'pointmap.raw_pointmap', 'pointmap.raw_scale', 'seg.logits'],
        True: ['albedo.albedo', 'matting.alpha', 'matting.foreground', 'normal.normals', 'pointmap.pointmap',
               'pointmap.scale', 'seg.labels'],
    }[decode]  # fmt: skip
    exported = load_export(report.path)
    assert exported.names == names == [row.name for row in report.differences]
    model, image = load_model(cfg, weights, device='cpu', flip_test=False), picture((128, 96))
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    inputs = model.network.data_preprocessor.normalize(pixels)[None].repeat(2, 1, 1, 1)
    got = exported(inputs)
    if decode:
        result = model(image)
        for task, name in MAPS.items():
            values = got[names[[one.split('.')[0] for one in names].index(task)]][1].permute(1, 2, 0).numpy()
            want = getattr(result[task], name)
            np.testing.assert_allclose(values, want.reshape(values.shape), rtol=1e-3, atol=1e-3)
        assert float(96 / got['pointmap.scale'][1]) == pytest.approx(result['pointmap'].focal, rel=1e-3)
    else:
        with torch.no_grad():
            want = model.network(inputs)
        torch.testing.assert_close(got['pointmap.raw_scale'], want['pointmap']['scale'], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(got['matting.raw_alpha'], want['matting']['alpha'], rtol=1e-4, atol=1e-4)
