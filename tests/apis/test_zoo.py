import re
from pathlib import Path

import pytest
import torch

from sapiens.apis.zoo import ZOO, find, resolve_checkpoint, resolve_config
from sapiens.engine import Runner
from sapiens.models import SapiensViT
from sapiens.utils.checkpoint import expected_shapes, read_checkpoint
from sapiens.utils.config import load_config
from sapiens.utils.zoo import FORMS, LICENCES, published_as

CONFIGS = Path(__file__).parents[2] / 'configs'
TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(tmp_path))
    return tmp_path


def test_published_models():
    """The model card: four pretrained, 3 + 4 + 4 pose, three parts, four depth, four normals, a detector, foreground."""
    counts = {}
    for entry in ZOO.values():
        kind = entry.task, entry.keypoints or entry.classes
        counts[kind] = counts.get(kind, 0) + 1
    assert counts == {
        ('pretrain', None): 4, ('pose', 308): 3, ('pose', 17): 4, ('pose', 133): 4, ('seg', 28): 3, ('depth', None): 4,
        ('normal', None): 4, ('detector', None): 1, ('seg', 2): 1,
    }  # fmt: skip
    assert {entry.licence for entry in ZOO.values()} <= set(LICENCES)
    assert ZOO['sapiens-pose-2b-17'].published == {'coco/AP': 82.2}
    assert ZOO['sapiens-seg-1b'].published == {'mIoU': 79.94}


@pytest.mark.parametrize('name', ZOO)
def test_entries_are_consistent(name):
    entry = ZOO[name]
    assert entry.name == name and entry.repos and set(entry.repos) <= set(FORMS)
    for form in entry.repos:
        for file in entry.files(form):
            assert file.endswith(FORMS[form]) and published_as(Path('elsewhere') / Path(file).name) == (entry, form)
            assert file.startswith(f'{"pretrain" if entry.task == "pretrain" else entry.task}/checkpoints/')
    if entry.config is None:
        assert entry.task == 'detector' or entry.classes == 2
        return
    cfg = load_config(CONFIGS / entry.config)
    assert cfg.model.backbone.arch == entry.size and Path(entry.config).parts[0] in (entry.task, 'mae')
    width = entry.shapes()[('' if entry.task == 'pretrain' else 'backbone.') + 'ln1.weight'][0]
    assert entry.shapes() == expected_shapes(entry.size, entry.task, entry.num_outputs) and width in (
        1024,
        1280,
        1536,
        1920,
    )


def test_the_configs_start_from_files_of_the_zoo():
    for path in (CONFIGS / '_base_' / 'backbones').glob('sapiens_*b.py'):
        found = re.search(r'/(pretrain/\S+\.pth)', path.read_text())[1]
        entry, form = published_as(found)
        assert entry.task == 'pretrain' and form == 'original' and found == entry.files()[0]


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
    assert read_checkpoint('sapiens-pose-1b').state_dict['w'].tolist() == [1, 1]
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
    with pytest.raises(ValueError, match="no published model; did you mean 'sapiens-depth-1b'"):
        find('sapiens-dept-1b')
    with pytest.raises(ValueError, match='did you mean'):
        resolve_checkpoint('sapiens-pose-3b')
    with pytest.raises(ValueError, match='did you mean'):
        resolve_config('sapiens-pose-3b')
    with pytest.raises(ValueError, match='has no config'):
        resolve_config('sapiens-pose-bbox-detector')
    assert resolve_config('sapiens-seg-1b') == CONFIGS / 'seg/sapiens_1b_goliath-1024x768.py'
    assert resolve_config('configs/x.py') == Path('configs/x.py')


def test_the_detector_is_not_recognized_by_its_tensors():
    with pytest.raises(ValueError, match='no Sapiens model'):
        ZOO['sapiens-pose-bbox-detector'].shapes()


def test_the_error_of_a_missing_published_file_has_its_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'it is published.*sapiens download sapiens-pretrain-1b.*by-nc'):
        read_checkpoint(tmp_path / 'sapiens_1b_epoch_173_clean.pth')
    with pytest.raises(FileNotFoundError, match='has nothing like it'):
        read_checkpoint(tmp_path / 'other.pth')


def test_names_work_where_checkpoints_are_taken(root):
    """``init_cfg`` of a backbone, and ``load_from`` of the runner."""
    source = SapiensViT(TINY, img_size=64)
    source.init_weights()
    file = root / ZOO['sapiens-pretrain-0.3b'].files()[0]
    file.parent.mkdir(parents=True)
    torch.save(source.state_dict(), file)
    model = SapiensViT(TINY, img_size=64, init_cfg=dict(type='Pretrained', checkpoint='sapiens-pretrain-0.3b'))
    model.init_weights()
    assert torch.equal(model.layers[1].attn.qkv.weight, source.layers[1].attn.qkv.weight)

    class Stub:
        _bare_model = SapiensViT(TINY, img_size=64)
        logger = type('Logger', (), dict(info=lambda self, text: None))()
        call_hook = staticmethod(lambda *args, **kwargs: None)

    Runner.load_checkpoint(Stub, 'sapiens-pretrain-0.3b')
    assert torch.equal(Stub._bare_model.ln1.weight, source.ln1.weight)
    assert torch.equal(Stub._bare_model.layers[1].attn.qkv.weight, source.layers[1].attn.qkv.weight)
