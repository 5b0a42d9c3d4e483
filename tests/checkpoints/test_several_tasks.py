"""Files of models of several tasks, and of their single tasks."""

import pytest
import torch
from mmengine.config import Config

from sapiens.apis import build_model
from sapiens.checkpoints import (
    ZOO,
    describe,
    extract_task,
    load_weights,
    read_weights,
    recognise,
    resolve_init_cfg,
    save_huggingface,
)
from sapiens.commands import convert
from sapiens.engine.runner_checkpoints import model_facts
from sapiens.registry import MODELS
from sapiens.utils.checkpoint import save_weights

from ..models.multi_task import BACKBONES, TASKS, build, config, images


@pytest.fixture(params=BACKBONES)
def family(request):
    return request.param


@pytest.fixture
def model(family):
    return build(family)


def alone(family, task):
    return MODELS.build(dict(TASKS[task], backbone=BACKBONES[family])).eval()


@pytest.fixture
def file(model, tmp_path):
    meta = model_facts(model, model.state_dict())
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'all.pth')
    return tmp_path / 'all.pth'


def test_what_a_file_is(family, model, file):
    found = recognise(read_weights(file).state_dict, read_weights(file).meta)
    assert (found['task'], found['family'], found['size'], found['outputs']) == ('multi', family, None, None)
    assert found['tasks'] == dict(
        normal=dict(task='normal', outputs=3), pose=dict(task='pose', outputs=5), seg=dict(task='seg', outputs=4)
    )
    text = describe(found)
    assert (
        '3 tasks on one encoder (normal: surface normals, pose: pose with 5 keypoints, seg: segmentation with 4'
        in text
    )
    assert recognise(model.tasks['seg'].state_dict()) is None
    bare = recognise(model.state_dict())
    assert bare['task'] == 'multi' and set(bare['tasks']) == set(TASKS)
    if family == 'sapiens2':  # whose last layers are called after their tasks
        assert bare['tasks'] == found['tasks']


def test_files_of_one_task_have_none_of_several():
    weights = alone('sapiens2', 'seg').state_dict()
    assert recognise(weights)['tasks'] == {} and recognise(weights)['task'] == 'seg'


def test_it_loads_whole_and_by_the_model_of_one_task(family, model, file):
    built = build_model(Config(dict(model=config(family))), file, 'cpu')
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in built.state_dict().items())
    for task in TASKS:
        single = build_model(Config(dict(model=dict(TASKS[task], backbone=BACKBONES[family]))), file, 'cpu')
        assert torch.equal(single(images()), model(images())[task])
    with pytest.raises(
        ValueError, match=r"(?s)is for the task 'multi', the model for 'depth'.*3 tasks on one encoder"
    ):
        depth = dict(TASKS['normal'], task=dict(type='DepthTask'), backbone=BACKBONES[family])
        build_model(Config(dict(model=depth)), file, 'cpu')


def test_a_model_of_one_task_starts_its_head_and_the_encoder(family, tmp_path):
    donor = alone(family, 'seg')
    donor.init_weights()
    torch.save(dict(state_dict=donor.state_dict(), meta=dict(task='seg')), tmp_path / 'seg.pth')
    model = build(family)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = load_weights(model, tmp_path / 'seg.pth')
    assert report.share > 0.99 and not report.unused
    for key, value in model.state_dict().items():
        if key.startswith(('backbone.', 'tasks.seg.')):
            assert torch.equal(value, donor.state_dict()[key.removeprefix('tasks.seg.')])
        else:
            assert torch.equal(value, before[key])
    with pytest.raises(ValueError, match=r"is for the task 'seg', the model for 'multi'"):
        build_model(Config(dict(model=config(family))), tmp_path / 'seg.pth', 'cpu')


def test_an_encoder_alone_starts_the_encoder(family, model, tmp_path):
    torch.save(model.backbone.state_dict(), tmp_path / 'encoder.pth')
    other = build(family)
    torch.nn.init.zeros_(other.backbone.patch_embed.projection.weight)
    load_weights(other, tmp_path / 'encoder.pth')
    assert torch.equal(other.backbone.patch_embed.projection.weight, model.backbone.patch_embed.projection.weight)


def test_two_tasks_of_one_kind_are_not_guessed(tmp_path):
    twice = config(tasks=dict(TASKS, body=TASKS['pose']))
    model, donor = MODELS.build(twice), alone('sapiens2', 'pose')
    torch.save(dict(state_dict=donor.state_dict(), meta=dict(task='pose')), tmp_path / 'pose.pth')
    with pytest.raises(
        ValueError, match=r"tasks body and pose are both for 'pose': start one of them with model.tasks.body"
    ):
        load_weights(model, tmp_path / 'pose.pth')
    meta = model_facts(model, model.state_dict())
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'all.pth')
    with pytest.raises(ValueError, match='both for .*sapiens convert convert FILE OUT --task NAME'):
        load_weights(donor, tmp_path / 'all.pth')


def test_one_task_as_a_file_of_its_own(family, model, file, tmp_path, capsys):
    convert.main(['convert', str(file), str(tmp_path / 'pose.pth'), '--task', 'pose'])
    assert 'pose with 5 keypoints' in capsys.readouterr().out
    written = read_weights(tmp_path / 'pose.pth')
    assert written.meta['task'] == 'pose' and not [key for key in written.state_dict if key.startswith('tasks.')]
    single = alone(family, 'pose')
    single.load_state_dict(written.state_dict, strict=True)
    assert torch.equal(single(images()), model(images())['pose'])
    with pytest.raises(ValueError, match='3 tasks on one encoder .*choose one with --task'):
        convert.main(['convert', str(file), str(tmp_path / 'folder'), '--to', 'huggingface'])
    convert.main(['inspect', str(file)])
    assert '3 tasks on one encoder' in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"no task 'pos'; did you mean 'pose'\? \(its tasks are normal, pose, seg\)"):
        extract_task(model.state_dict(), 'pos')
    with pytest.raises(ValueError, match="no task 'pose' .it is not a model of several tasks"):
        extract_task(single.state_dict(), 'pose')


def start(task, checkpoint):
    """The model with a head that starts from a checkpoint, as a run builds it."""
    parts = dict(TASKS, **{task: dict(TASKS[task], init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint)))})
    model = MODELS.build(dict(config('sapiens2'), tasks=parts))
    resolve_init_cfg(model)
    model.init_weights()
    return model


@pytest.mark.parametrize(
    'form', ['whole.pth', 'a.pth', 'a.safetensors', 'folder', 'sapiens2-seg-1b', 'sapiens2_1b_seg.safetensors']
)
def test_a_head_starts_from_every_form_of_file(form, tmp_path, monkeypatch):
    """Those that the encoder takes, and the file of a model of several tasks."""
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(tmp_path))
    whole, path = build('sapiens2'), tmp_path / form
    donor = alone('sapiens2', 'seg')
    donor.load_state_dict(extract_task(whole.state_dict(), 'seg'))
    if form == 'whole.pth':
        torch.save(dict(state_dict=whole.state_dict()), path)
    elif form == 'folder':
        save_huggingface(donor, path)
    else:
        published = form.startswith('sapiens2')
        path = tmp_path / ZOO['sapiens2-seg-1b'].files()[0] if published else path
        path.parent.mkdir(exist_ok=True)
        save_weights(donor.state_dict(), path)
        path = form if published else path
    own = start('seg', path).tasks['seg'].state_dict()
    assert own and all(torch.equal(value, donor.state_dict()[key]) for key, value in own.items())


def test_a_head_of_a_name_that_the_file_does_not_have(tmp_path):
    torch.save(dict(state_dict=build('sapiens2').state_dict()), tmp_path / 'all.pth')
    parts = dict(parts=dict(TASKS['seg'], init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'all.pth'))))
    model = MODELS.build(dict(config('sapiens2'), tasks=parts))
    with pytest.raises(
        ValueError, match=r"tasks.parts.init_cfg\): its tasks are normal, pose, seg, none is called 'parts'"
    ):
        model.init_weights()
