"""Downloads, from a hub on this machine."""

import fcntl
import hashlib
import io
import shutil
from pathlib import Path

import pytest
import torch

from sapiens.apis.loading.download import compare_with_card, download
from sapiens.checkpoints import ZOO, expected_shapes, resolve_checkpoint
from sapiens.commands.download import wanted_form

from ..scripts import run
from . import status_of
from .hub import Hub, served

ENTRY = ZOO['sapiens-seg-0.3b']
NAME = Path(ENTRY.files()[0]).name


def small_file():
    """A file with all names and shapes of the published one in half precision, each tensor a single number in storage."""
    weights = {name: torch.zeros((), dtype=torch.half).expand(shape) for name, shape in ENTRY.shapes().items()}
    file = io.BytesIO()
    torch.save(dict(state_dict=weights, meta={}), file)
    return file.getvalue()


CONTENT = small_file()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ('HF_ENDPOINT', 'HF_TOKEN', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(tmp_path / 'root'))
    made = Hub({ENTRY.repos['original']: {'README.md': b'about', NAME: CONTENT}})
    with served(made) as made.address:
        yield made


def test_a_download_lands_in_its_place_and_is_not_repeated(hub, tmp_path):
    lines = []
    path = download(ENTRY, endpoint=hub.address, say=lines.append)
    assert path == tmp_path / 'root' / ENTRY.files()[0] == resolve_checkpoint(ENTRY.name)
    assert path.read_bytes() == CONTENT and compare_with_card(ENTRY, path) == []
    assert 'size and sha256 as stated' in lines[-1]
    assert [file.name for file in path.parent.iterdir()] == [NAME], 'nothing else is left'
    before = hub.requests
    assert download(ENTRY, endpoint=hub.address, say=lines.append) == path and hub.requests == before
    assert lines[-1].endswith('is there already')


def test_a_download_goes_on_where_it_was_cut_off(hub, tmp_path, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE', 1000)  # what is written at a time, else 10 MB
    hub.cut_after = 10_000
    lines = []
    with pytest.raises(ConnectionError, match=r'could not be fetched.*\n.* MB are kept: the same command continues'):
        download(ENTRY, endpoint=hub.address, say=lines.append)
    assert lines[-1].endswith(' MB') and ', from ' not in lines[-1]
    (partial,) = (tmp_path / 'root' / ENTRY.files()[0]).parent.iterdir()
    kept = partial.stat().st_size
    assert partial.name.endswith('.part') and 0 < kept <= 10_000 and partial.read_bytes() == CONTENT[:kept]
    hub.cut_after, hub.refuse, hub.ranges = None, False, []
    path = download(ENTRY, endpoint=hub.address, say=lines.append)
    assert lines[3].endswith(' MB, from 0.0 MB on')
    assert hub.ranges == [f'bytes={kept}-'] and path.read_bytes() == CONTENT


def test_two_downloads_of_a_file_do_not_mix(hub, tmp_path):
    place = tmp_path / 'root' / ENTRY.files()[0]
    place.parent.mkdir(parents=True)
    partial = place.with_name(f'.{NAME}.{hashlib.sha256(CONTENT).hexdigest()[:12]}.part')
    with open(partial, 'ab') as first:
        first.write(CONTENT[:100])
        first.flush()
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=r'\.part is being written by another download'):
            download(ENTRY, endpoint=hub.address, say=lambda line: None)
        assert partial.read_bytes() == CONTENT[:100]
    assert download(ENTRY, endpoint=hub.address, say=lambda line: None).read_bytes() == CONTENT


def test_a_damaged_file_is_removed(hub, tmp_path):
    hub.checksums[NAME] = '0' * 64
    with pytest.raises(ValueError, match=r'arrived damaged: its sha256 is [0-9a-f]{64} instead of 0000'):
        download(ENTRY, endpoint=hub.address, say=lambda line: None)
    assert not list((tmp_path / 'root' / ENTRY.files()[0]).parent.iterdir())


def test_a_leftover_that_is_longer_than_the_file_is_not_used(hub, tmp_path):
    place = tmp_path / 'root' / ENTRY.files()[0]
    place.parent.mkdir(parents=True)
    partial = place.with_name(f'.{NAME}.{hashlib.sha256(CONTENT).hexdigest()[:12]}.part')
    partial.write_bytes(b'x' * (len(CONTENT) + 1))
    assert download(ENTRY, endpoint=hub.address, say=lambda line: None).read_bytes() == CONTENT
    assert hub.ranges == [None]


def test_a_file_under_another_name_is_found_if_it_is_the_only_one(hub):
    repo = hub.repos[ENTRY.repos['original']]
    repo['sub/renamed.pth'] = repo.pop(NAME)
    path = download(ENTRY, endpoint=hub.address, say=lambda line: None)
    assert path.name == NAME and path.read_bytes() == CONTENT
    path.unlink()
    repo['second.pth'] = b'x'
    with pytest.raises(ValueError, match=r'has 2 files that could be .*README.md.*by hand to .*mIoU_7673'):
        download(ENTRY, endpoint=hub.address, say=lambda line: None)


def test_without_the_hub_the_error_has_the_fix(hub, tmp_path):
    other = ZOO['sapiens-depth-1b']
    with pytest.raises(
        ConnectionError, match=r'RepositoryNotFoundError.*By hand: download .*epoch_88.pth from https://hugging'
    ):
        download(other, endpoint=hub.address, say=lambda line: None)
    with pytest.raises(ConnectionError) as refused:
        download(other, endpoint=hub.address, say=lambda line: None)
    assert 'sapiens download' not in str(refused.value), 'it is what failed'


def test_the_disk_is_asked_first(hub, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: type('Usage', (), dict(free=10)))
    with pytest.raises(OSError, match='less free space'):
        download(ENTRY, endpoint=hub.address, say=lambda line: None)


def test_differences_to_the_model_card(tmp_path):
    shapes = expected_shapes('0.3b', 'seg', 27)
    del shapes['backbone.ln1.bias']
    torch.save(
        {name: torch.zeros((), dtype=torch.half).expand(shape) for name, shape in shapes.items()}, tmp_path / 'x.pth'
    )
    assert compare_with_card(ENTRY, tmp_path / 'x.pth') == [
        'ln1.bias is missing',
        'decode_head.conv_seg.weight is 27x768x1x1, expected 28x768x1x1',
        'decode_head.conv_seg.bias is 27, expected 28',
    ]


def test_the_command(hub, capsys):
    result = run('tools/download.py', ENTRY.name, 'sapiens-depth-1b', check=False, HF_ENDPOINT=hub.address)
    assert result.returncode == 1, result.stderr
    assert 'cc-by-nc-4.0' in result.stdout and 'commercial' in result.stdout
    assert f'{ENTRY.name}: 304 tensors as expected' in result.stdout
    assert 'facebook/sapiens-depth-1b could not be fetched' in result.stderr and 'Traceback' not in result.stderr

    assert status_of('download', '--list') == 0
    listed = capsys.readouterr().out.splitlines()
    assert any(line.startswith('cc-by-nc-4.0: ') and 'commercial' in line for line in listed)
    (line,) = (line for line in listed if line.startswith(f'{ENTRY.name} '))
    assert line.split()[1:] == [
        'seg',
        '0.3b',
        '28',
        'original',
        'torchscript',
        'bfloat16',
        'original',
        'cc-by-nc-4.0',
        'goliath-parts',
        'mIoU',
        '76.73,',
        'mAcc',
        '86.1',
    ]
    assert status_of('download', ENTRY.name, 'sapiens-pos-1b') == 2
    assert "did you mean 'sapiens-pose-1b'" in capsys.readouterr().err
    for options in ([], ['--list', ENTRY.name]):
        assert status_of('download', *options) == 2


@pytest.mark.parametrize(
    'name', ['sapiens-pose-1b', 'sapiens2-pose-1b', 'sapiens2-matting-1b', 'sapiens2-pretrain-1b-4k']
)
def test_the_license_of_the_family_is_shown_before_the_hub_is_asked(name, hub, capsys):
    """For downloads of a program too. The second family allows commercial use and forbids others, the first one forbids it."""
    lines = []
    with pytest.raises(ConnectionError):  # the hub of this test does not have it
        download(ZOO[name], endpoint=hub.address, say=lines.append)
    (line,) = lines
    allowed, _, forbidden = line.partition(', not ')
    if name.startswith('sapiens2'):
        assert (
            'sapiens2-license' in line
            and 'Sapiens2 License' in line
            and 'github.com/facebookresearch/sapiens2' in line
        )
        assert 'commercial use included' in allowed
        assert 'surveillance' in forbidden and 'biometric' in forbidden and 'cc-by-nc' not in line
    else:
        assert 'cc-by-nc-4.0' in line and 'commercial advantage' in forbidden and 'surveillance' not in line
    with pytest.raises(ConnectionError):
        download(ZOO[name], endpoint=hub.address)
    assert capsys.readouterr().out.splitlines() == [line], 'and printed where nothing else is asked for'


def test_a_file_that_is_there_needs_no_license(hub):
    lines = []
    download(ENTRY, endpoint=hub.address, say=lines.append)
    assert 'cc-by-nc-4.0' in lines[0] and 'sapiens_0.3b' not in lines[0]
    lines.clear()
    download(ENTRY, endpoint=hub.address, say=lines.append)
    assert len(lines) == 1 and lines[0].endswith('is there already')


def test_a_hub_id_names_the_form():
    assert wanted_form(ENTRY.repos['torchscript'], None) == (ENTRY, 'torchscript')
    assert wanted_form(ENTRY.repos['torchscript'], 'bfloat16') == (ENTRY, 'bfloat16')
    assert wanted_form(ENTRY.name, None) == (ENTRY, 'original')
    with pytest.raises(ValueError, match="not published as 'bfloat16'"):
        wanted_form('sapiens-pose-1b-17', 'bfloat16')
