"""Pointmaps, mattes and albedo of an exported graph are the results of the model itself."""

import numpy as np
import pytest
import torch

from sapiens.apis import AlbedoResult, MattingResult, PointmapResult, load_model
from sapiens.apis.export import ExportOptions, export_model, load_export, run_graph_in
from sapiens.utils.pinhole import MIN_SCALE

from .test_sapiens2_results import tiny_config
from .tiny import lively, picture

RESULTS = dict(pointmap=PointmapResult, matting=MattingResult, albedo=AlbedoResult)
MAPS = dict(pointmap=('points',), matting=('alpha', 'foreground'), albedo=('albedo', 'linear'))
PICTURES = [picture((60, 192)), picture((120, 90), seed=2)]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Weights, and a graph without and one with decoding, of each task."""
    folder, made = tmp_path_factory.mktemp('graphs'), {}
    for task in RESULTS:
        cfg = tiny_config(task)
        network = lively(load_model(cfg, device='cpu').network)
        if task == 'pointmap':
            network.head.scale_final_layer[-1].bias.data.fill_(1.0)
            network.head.scale_final_layer[-1].weight.data.mul_(0.1)
        torch.save(dict(state_dict=network.state_dict()), folder / f'{task}.pth')
        made[task] = [cfg, folder / f'{task}.pth']
        for decode in (False, True):
            options = ExportOptions('torchscript', decode=decode, dynamic_batch=True)
            made[task].append(export_model(cfg, made[task][1], options, folder / options.file_name(task)).path)
    return made


@pytest.mark.parametrize('task', RESULTS)
def test_a_graph_as_the_network_gives_the_results_of_the_model(files, task):
    cfg, weights, graph, _ = files[task]
    plain, other = (load_model(cfg, weights, device='cpu', flip_test=True) for _ in range(2))
    run_graph_in(other.network, load_export(graph))
    other.network.backbone = other.network.decode_head = None  # the graph does it all
    for want, got in zip(plain(PICTURES), other(PICTURES), strict=True):
        assert type(got) is type(want) is RESULTS[task]
        for name in MAPS[task]:
            assert getattr(want, name).std() > 0.01
            np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-4, atol=1e-4)
        if task == 'pointmap':
            assert got.focal == pytest.approx(want.focal, rel=1e-4) and got.focal_source == 'estimated'
            np.testing.assert_allclose(got.intrinsics, want.intrinsics, rtol=1e-4)
        if task == 'albedo':
            assert got.encoding == want.encoding == 'srgb'


@pytest.mark.parametrize('task', RESULTS)
def test_decoded_outputs_are_the_maps_of_the_result(files, task):
    """For an image of the size of the input: units, order and coding are those that the documents tell."""
    cfg, weights, _, graph = files[task]
    model, exported, image = (
        load_model(cfg, weights, device='cpu', flip_test=False),
        load_export(graph),
        picture((128, 96)),
    )
    want = model(image)
    (sample,) = model.preprocess.samples(image)
    got = exported(model.normalize(model.preprocess.on_host(image, sample)[None]))
    names = dict(pointmap=dict(pointmap='points'), matting=dict(alpha='alpha', foreground='foreground'),
                 albedo=dict(albedo='albedo'))[task]  # fmt: skip
    assert list(got) == [*names, *(['scale'] if task == 'pointmap' else [])]
    for output, name in names.items():
        whole = getattr(want, name)
        whole = whole[..., None] if whole.ndim == 2 else whole
        np.testing.assert_allclose(got[output][0].permute(1, 2, 0), whole, rtol=1e-4, atol=1e-4)
    if task == 'pointmap':
        assert got['scale'].shape == (1,) and float(96 / got['scale']) == pytest.approx(want.focal, rel=1e-4)
    facts = exported.meta
    assert facts['task'] == {'matting': 'alpha'}.get(task, task) and facts['geometry'] == 'letterbox'
    meaning = facts['outputs'][0]['meaning']
    assert dict(pointmap='meters in the camera frame', matting='in [0, 1]', albedo='sRGB-coded RGB')[task] in meaning


def test_a_graph_without_a_scale_tells_so_by_the_smallest_one(files, tmp_path):
    cfg, weights, *_ = files['pointmap']
    state = torch.load(weights, weights_only=True)['state_dict']
    state['decode_head.scale_final_layer.3.bias'].fill_(-5)
    torch.save(dict(state_dict=state), tmp_path / 'x.pth')
    options = ExportOptions('torchscript', decode=True)
    exported = load_export(export_model(cfg, tmp_path / 'x.pth', options, tmp_path / 'x.pt2').path)
    assert float(exported(torch.zeros(1, 3, 128, 96))['scale']) == pytest.approx(MIN_SCALE)
    assert np.isnan(load_model(cfg, tmp_path / 'x.pth', device='cpu')(PICTURES[0]).estimated_focal)
