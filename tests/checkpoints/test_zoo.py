from pathlib import Path

import pytest
import torch

from sapiens.checkpoints import (
    FORMS,
    LICENCES,
    ZOO,
    Entry,
    expected_shapes,
    find,
    look_up,
    published_as,
    read_weights,
    resolve_checkpoint,
    resolve_config,
    resolve_init_cfg,
)
from sapiens.engine import Runner
from sapiens.models import SapiensViT
from sapiens.utils.config import load_config
from sapiens.weights import weights_folder

CONFIGS = Path(__file__).parents[2] / 'configs'
TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(tmp_path))
    return tmp_path


def test_published_models():
    """The model card: four pretrained, 3 + 4 + 4 pose, three parts, four depth, four normals, a detector, foreground. Of
    Sapiens2 six encoders, four of each task, and one of matting."""
    counts, second = {}, {}
    for entry in (entry for entry in ZOO.values() if not entry.is_own):
        kind, found = (
            (entry.task, entry.keypoints or entry.classes),
            second if entry.family.name == 'sapiens2' else counts,
        )
        found[kind] = found.get(kind, 0) + 1
    assert counts == {
        ('pretrain', None): 4, ('pose', 308): 3, ('pose', 17): 4, ('pose', 133): 4, ('seg', 28): 3, ('depth', None): 4,
        ('normal', None): 4, ('detector', None): 1, ('seg', 2): 1,
    }  # fmt: skip
    assert second == {
        ('pretrain', None): 6, ('pose', 308): 4, ('seg', 29): 4, ('normal', None): 4, ('pointmap', None): 4,
        ('matting', None): 1,
    }  # fmt: skip
    assert {entry.licence for entry in ZOO.values()} <= set(LICENCES)
    assert ZOO['sapiens-pose-2b-17'].published == {'coco': {'AP': '82.2', 'AR': '86.0'}}
    assert ZOO['sapiens-seg-1b'].published == {'goliath-parts': {'mIoU': '79.94', 'mAcc': '89.1'}}
    # The table of the Sapiens2 paper (arXiv 2604.21681).
    scores = dict(pose={'AP': '82.3'}, seg={'mIoU': '82.5'}, normal={'mean': '6.73'}, pointmap={'L2': '0.167'})
    for task, score in scores.items():
        assert list(ZOO[f'sapiens2-{task}-5b'].published.values()) == [score]
    scored = {entry.task for entry in ZOO.values() if entry.family.name == 'sapiens2' and entry.published}
    assert scored == set(scores)


@pytest.mark.parametrize('name', [name for name, entry in ZOO.items() if entry.is_own])
def test_own_entries_are_consistent(name):
    entry = ZOO[name]
    assert entry.name == name and entry.names == (f'{name}.safetensors',) and entry.licence == 'apache-2.0'
    assert name.startswith(f'sapiens-{entry.size}-') and Path(entry.config).parts[0] == entry.task
    assert entry.places(Path('elsewhere')) == [weights_folder() / f'{name}.safetensors']
    assert published_as(Path('elsewhere', f'{name}.safetensors')) == (entry, 'original')
    shapes = entry.shapes()
    assert shapes['backbone.ln1.weight'] == (192,) and entry.has_known_shapes
    counts = [value[0] for key, value in shapes.items() if key.endswith(('final_layer.bias', 'conv_seg.bias'))]
    assert not (entry.keypoints or entry.classes) or counts == [entry.num_outputs]


@pytest.mark.parametrize('name', [name for name, entry in ZOO.items() if not entry.is_own])
def test_entries_are_consistent(name):
    entry = ZOO[name]
    assert entry.name == name and entry.repos and set(entry.repos) <= set(FORMS)
    for form in entry.repos:
        for file in entry.files(form):
            assert file.endswith(FORMS[form]) and published_as(Path('elsewhere') / Path(file).name) == (entry, form)
            folder = (
                f'{entry.task}/checkpoints/'
                if entry.family.name == 'sapiens'
                else f'{entry.task}/sapiens2_{entry.size}'
            )
            assert file.startswith(folder)
    if entry.config is None:
        assert entry.task == 'detector' or entry.classes == 2 or entry.name.startswith('sapiens2-pre')
        return
    cfg = load_config(CONFIGS / entry.config)
    assert cfg.model.backbone.arch == entry.size and Path(entry.config).parts[0] in (entry.task, 'mae')
    if entry.family.name == 'sapiens2':
        assert entry.has_known_shapes
        return
    width = entry.shapes()[('' if entry.task == 'pretrain' else 'backbone.') + 'ln1.weight'][0]
    assert entry.shapes() == expected_shapes(entry.size, entry.task, entry.num_outputs) and width in (
        1024,
        1280,
        1536,
        1920,
    )


def test_the_configs_start_from_published_names():
    paths = list((CONFIGS / '_base_' / 'backbones').glob('sapiens_*b.py'))
    assert len(paths) == 4
    for path in paths:
        backbone = load_config(path).backbone
        entry = ZOO[backbone.init_cfg.checkpoint]
        assert (entry.task, entry.size) == ('pretrain', backbone.arch) and 'original' in entry.repos


def test_names_are_accepted_as_files(root, tmp_path):
    file = root / ZOO['sapiens-pose-1b'].files()[1]  # under its other published name
    with pytest.raises(FileNotFoundError) as missing:
        resolve_checkpoint('sapiens-pose-1b')
    text = str(missing.value)
    assert 'sapiens download sapiens-pose-1b`' in text and 'https://huggingface.co/facebook/sapiens-pose-1b ' in text
    assert str(root / ZOO['sapiens-pose-1b'].files()[0]) in text and 'cc-by-nc-4.0' in text
    file.parent.mkdir(parents=True)
    torch.save(dict(w=torch.ones(2)), file)
    assert resolve_checkpoint('sapiens-pose-1b') == file
    assert read_weights('sapiens-pose-1b').state_dict['w'].tolist() == [1, 1]
    with pytest.raises(FileNotFoundError, match='--form torchscript'):
        resolve_checkpoint('sapiens-pose-1b', 'torchscript')
    assert resolve_checkpoint(file) == file and resolve_checkpoint('some/x.pth') == Path('some/x.pth')


def test_a_model_with_one_form_needs_no_form(root):
    with pytest.raises(
        FileNotFoundError, match='sapiens-seg-foreground-1b` fetches it.*foreground_epoch_8_torchscript.pt2'
    ):
        resolve_checkpoint('sapiens-seg-foreground-1b')
    with pytest.raises(ValueError, match="not published as 'bfloat16', only as 'original'"):
        resolve_checkpoint('sapiens-pose-1b-17', 'bfloat16')


def test_unknown_names():
    with pytest.raises(ValueError, match="not a published model; did you mean 'sapiens-depth-1b'"):
        find('sapiens-dept-1b')
    with pytest.raises(ValueError, match='did you mean'):
        resolve_checkpoint('sapiens-pose-3b')
    with pytest.raises(ValueError, match='did you mean'):
        resolve_config('sapiens-pose-3b')
    with pytest.raises(ValueError, match='has no config'):
        resolve_config('sapiens-seg-foreground-1b')
    with pytest.raises(ValueError, match="has no config in this package: the task 'detector' is not in this version"):
        resolve_config('sapiens-pose-bbox-detector')
    assert resolve_config('sapiens-seg-1b') == CONFIGS / 'seg/sapiens_1b_goliath-1024x768.py'
    assert resolve_config('configs/x.py') == Path('configs/x.py')


def test_the_detector_is_not_recognized_by_its_tensors():
    with pytest.raises(ValueError, match='shapes of its tensors are not known'):
        ZOO['sapiens-pose-bbox-detector'].shapes()


def test_the_error_of_a_missing_published_file_has_its_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'it is published.*sapiens download sapiens-pretrain-1b.*by-nc'):
        read_weights(tmp_path / 'sapiens_1b_epoch_173_clean.pth')
    with pytest.raises(FileNotFoundError, match='has nothing like it'):
        read_weights(tmp_path / 'other.pth')


def test_names_work_where_checkpoints_are_taken(root):
    """``init_cfg`` of a backbone, and ``load_from`` of the runner."""
    source = SapiensViT(TINY, img_size=64)
    source.init_weights()
    file = root / ZOO['sapiens-pretrain-0.3b'].files()[0]
    file.parent.mkdir(parents=True)
    torch.save(source.state_dict(), file)
    model = SapiensViT(TINY, img_size=64, init_cfg=dict(type='Pretrained', checkpoint='sapiens-pretrain-0.3b'))
    resolve_init_cfg(model)
    model.init_weights()
    assert torch.equal(model.layers[1].attn.qkv.weight, source.layers[1].attn.qkv.weight)

    class Stub:
        bare_model = SapiensViT(TINY, img_size=64)
        needs_all_weights = True
        logger = type('Logger', (), dict(info=lambda self, text, extra: None))()
        call_hook = staticmethod(lambda *args, **kwargs: None)

    Runner.load_checkpoint(Stub, 'sapiens-pretrain-0.3b')
    assert torch.equal(Stub.bare_model.ln1.weight, source.ln1.weight)
    assert torch.equal(Stub.bare_model.layers[1].attn.qkv.weight, source.layers[1].attn.qkv.weight)


@pytest.mark.parametrize(
    ('text', 'name', 'form'),
    [
        ('facebook/sapiens-pose-1b', 'sapiens-pose-1b', 'original'),
        ('facebook/sapiens-pose-1b-torchscript', 'sapiens-pose-1b', 'torchscript'),
        ('sapiens-pose-1b-bfloat16', 'sapiens-pose-1b', 'bfloat16'),
        ('sapiens_1b_goliath_best_goliath_AP_640.pth', 'sapiens-pose-1b', 'original'),
        ('sapiens_1b_goliath_best_goliath_AP_639_torchscript.pt2', 'sapiens-pose-1b', 'torchscript'),
        ('facebook/sapiens-seg-foreground-1b-torchscript', 'sapiens-seg-foreground-1b', 'torchscript'),
    ],
)
def test_hub_ids_and_file_names_are_names_too(root, text, name, form):
    assert find(text) is ZOO[name]
    with pytest.raises(FileNotFoundError, match=f'is not on this machine: `sapiens download {name}'):
        resolve_checkpoint(text)
    file = root / ZOO[name].files(form)[0]
    file.parent.mkdir(parents=True)
    file.touch()
    assert resolve_checkpoint(text) == file
    if ZOO[name].config:
        assert resolve_config(text) == CONFIGS / ZOO[name].config


def test_hub_ids_that_mean_no_single_model():
    with pytest.raises(ValueError, match='holds several models: give one of sapiens-pose-0.3b-133'):
        resolve_checkpoint('noahcao/sapiens-pose-coco')
    with pytest.raises(ValueError, match="'facebook/sapiens-pose-3b' is not a published model; did you mean"):
        resolve_checkpoint('facebook/sapiens-pose-3b')
    assert resolve_checkpoint('work_dirs/sapiens-pose-3b') == Path('work_dirs/sapiens-pose-3b')


@pytest.mark.parametrize('ending', ['.pth', '.pt', '.pt2', '.safetensors', '.onnx', '.py'])
def test_files_with_names_like_those_of_models_are_paths(ending):
    for text in (f'sapiens-own{ending}', f'work_dirs/sapiens-own{ending}', 'own-model', 'sapiens_own'):
        assert look_up(text) is None
    for text in ('sapiens-own', 'sapiens-own.txt', f'facebook/sapiens-own{ending}'):
        with pytest.raises(ValueError, match='not a published model'):
            look_up(text)
    assert published_as(f'work_dirs/sapiens-own{ending}') is None and published_as('sapiens-pose-1b') is None


@pytest.mark.parametrize('text', ['sapiens2-pose-1b', 'facebook/sapiens2-pose-1b', 'sapiens2_1b_pose.safetensors'])
def test_names_of_the_second_family(root, text):
    assert find(text) is ZOO['sapiens2-pose-1b'] and ZOO['sapiens2-pose-1b'].licence == 'sapiens2-license'
    with pytest.raises(FileNotFoundError, match='sapiens2-license'):
        resolve_checkpoint(text)
    assert resolve_config(text) == CONFIGS / 'pose/sapiens2_1b_goliath-1024x768.py'
    with pytest.raises(ValueError, match="did you mean 'sapiens2-pose-0.[48]b' or 'sapiens2-pose-0.[48]b'"):
        find('sapiens2-pose-0.3b')


def test_the_table_takes_another_family_as_data():
    """Files in safetensors, tasks that are not known here, the license of the family."""
    entry = Entry(
        name='sapiens2-pointmap-1b', task='pointmap', size='1b', names=('pointmap/checkpoints/sapiens2_1b/x.safetensors',),
        repos={'original': 'facebook/sapiens2-pointmap-1b'},
    )  # fmt: skip
    assert entry.licence == 'sapiens2-license' in LICENCES and entry.family.name == 'sapiens2'
    assert entry.files() == entry.names and entry.num_outputs is None
    assert entry.files()[0].endswith(FORMS['original'])
    assert not entry.has_known_shapes and not ZOO['sapiens-pose-bbox-detector'].has_known_shapes
    assert ZOO['sapiens-pose-1b'].has_known_shapes
    with pytest.raises(ValueError, match='shapes of its tensors are not known'):
        entry.shapes()
