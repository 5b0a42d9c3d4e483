"""Small files that ask for much memory or time."""

import io
import os
import pickle
import resource
import zipfile

import numpy as np
import pytest
import torch

from sapiens.commands import run
from sapiens.engine.checkpoint_io import NEEDED, load_training_state
from sapiens.utils.checkpoint import limits, read_checkpoint
from sapiens.utils.checkpoint.restricted import load_restricted
from tests.utils.test_checkpoint_forms import with_part


@pytest.fixture
def plain(tmp_path):
    """A file with everything that a run needs to continue."""
    torch.save({name: dict(w=torch.ones(3)) for name in NEEDED}, tmp_path / 'plain.pth')
    return tmp_path / 'plain.pth'


def refused(path, message):
    """Both readers refuse a file with one line, and the limit of the process is as before."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    for read in (read_checkpoint, load_training_state):
        with pytest.raises(ValueError, match=message) as caught:
            read(path)
        text = str(caught.value)
        assert path.name in text and '\n' not in text and 'weights_only' not in text and 'safe_globals' not in text
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


class Call:
    """Pickled as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_a_flood_of_small_tensors(plain, tmp_path, monkeypatch):
    with zipfile.ZipFile(plain) as archive:
        content = archive.read(next(name for name in archive.namelist() if name.endswith('data.pkl')))
    # A list of calls with the arguments of the first tensor, which the pickle keeps under numbers: five bytes for each.
    flood = b'ctorch._utils\n_rebuild_parameter\nq\xf0N\x88N\x87q\xf1' + b'h\xf0h\xf1R' * 250_000
    refused(
        with_part(plain, tmp_path / 'flood.pth', 'data.pkl', content[:-1] + flood + b'.'),
        r'asks for \d\d\d,\d+ objects',
    )
    monkeypatch.setattr(limits, 'MAX_OPCODES', 3000)
    ints = content[:-1] + b'K\x01' * 3000 + b'.'
    refused(with_part(plain, tmp_path / 'ints.pth', 'data.pkl', ints), r'asks for 3,001 objects')


def test_compressed_parts(plain, tmp_path):
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(tmp_path / 'x.pth', 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + bytes(10**7) * name.endswith('data.pkl'))
    assert (tmp_path / 'x.pth').stat().st_size < 20_000
    refused(tmp_path / 'x.pth', r'data\.pkl is compressed, which torch never does')


@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='the limit is one of Linux')
@pytest.mark.parametrize('call', ['bytearray', 'copies', 'array'])
def test_values_that_are_made_large(plain, tmp_path, call, monkeypatch):
    monkeypatch.setattr(limits, 'SPARE', 1 << 26)
    values = list(range(1000)) * 100
    # 3 GB each, more than what earlier tests may have left free in the heap of this process.
    bomb = {
        'bytearray': Call(bytearray, 3 << 30),
        'copies': [Call(list, values) for _ in range(4000)],
        'array': Call(torch.Size, [0] * 100_000),
    }[call]
    if call == 'array':
        bomb = [Call(torch.Size, bomb.call[1][0]) for _ in range(4000)]
    content = pickle.dumps(dict(state_dict=bomb), protocol=2)
    path = with_part(plain, tmp_path / 'x.pth', 'data.pkl', content)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match=r'x\.pth .* cannot be read: it unpacks to many times its size'):
        read_checkpoint(path)
    torch.save(dict(w=torch.ones(1000, 1000)), tmp_path / 'large.pth')
    assert read_checkpoint(tmp_path / 'large.pth').state_dict['w'].sum() == 1e6, 'what follows is read'


def test_the_old_format(tmp_path, monkeypatch):
    torch.save(dict(w=torch.ones(3)), tmp_path / 'x.pth', _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / 'x.pth').state_dict['w'].tolist() == [1, 1, 1]
    monkeypatch.setattr(limits, 'MAX_OPCODES', 20)
    with pytest.raises(ValueError, match=r'x\.pth .*: it asks for 21 objects or more'):
        read_checkpoint(tmp_path / 'x.pth')


@pytest.mark.parametrize(
    ('tensor', 'message'),
    [
        (
            torch.ones(1).expand(10**6, 10**6),
            r'claim 4,000,000,000,0\d\d, such as bad \(1000000 x 1000000\).*\(0, 0\)',
        ),
        (torch.ones(10).as_strided((10**12, 2), (0, 1)), 'claim 8,000,000,000,0'),
        (torch.empty(10**6, 10**6, device='meta'), 'bad is a meta tensor'),
        (
            torch.sparse_coo_tensor(torch.tensor([[0], [1]]), torch.ones(1), (10**6, 10**6)),
            'bad is a torch.sparse_coo tensor',
        ),
    ],
    ids=['expanded', 'strided', 'meta', 'sparse'],
)
def test_tensors_that_are_larger_than_their_values(tmp_path, tensor, message, capsys):
    torch.save(dict(good=torch.ones(4), bad=tensor), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=rf'x\.pth cannot be used: .*{message}'):
        read_checkpoint(tmp_path / 'x.pth')
    with pytest.raises(SystemExit) as ended:
        run('convert', ['convert', str(tmp_path / 'x.pth'), str(tmp_path / 'y.pth')])
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and error.startswith('error: ') and '\n' not in error
    assert not (tmp_path / 'y.pth').exists()


def test_views_of_usual_sizes_are_read(tmp_path):
    value = torch.arange(6.0)
    tensors = dict(
        whole=value, tied=value, part=value[2:], repeated=value[:1].expand(100, 3), turned=value.view(2, 3).T
    )
    torch.save(tensors, tmp_path / 'x.pth')
    read = read_checkpoint(tmp_path / 'x.pth').state_dict
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_a_file_of_a_run_that_asks_for_code_says_so_in_one_line(plain, tmp_path):
    content = io.BytesIO()
    pickle.dump({name: Call(os.mkdir, str(tmp_path / 'made')) for name in NEEDED}, content, protocol=2)
    path = with_part(plain, tmp_path / 'x.pth', 'data.pkl', content.getvalue())
    refused(path, r'x\.pth .* cannot be read: it asks to run code \((posix|nt)\.mkdir\)')
    assert not (tmp_path / 'made').exists()


def test_values_of_numpy_keep_types_and_shapes(tmp_path):
    values = dict(
        order=np.asfortranarray(np.arange(6.0).reshape(2, 3)), big=np.arange(3, dtype='>i4'), flag=np.array([True, False]),
        text=np.array(['a', 'größe']), raw=np.array([b'x']), objects=np.array([[1, 'a'], [None, 2.5]], dtype=object),
        empty=np.zeros((0, 4), np.float16), number=np.float64(0.25), count=np.int32(7), complex=np.array(1 + 2j),
    )  # fmt: skip
    for old in (False, True):
        torch.save(dict(w=torch.ones(1), meta=values), tmp_path / 'x.pth', _use_new_zipfile_serialization=not old)
        read = read_checkpoint(tmp_path / 'x.pth').meta
        for name, value in values.items():
            assert isinstance(read[name], type(value)) and np.array_equal(read[name], value), name
            assert read[name].dtype == value.dtype.newbyteorder('=') and read[name].shape == value.shape, name


def damaged(dtype_state=(3, '<', None, None, None, -1, -1, 0), state=None, code='f4'):
    """The pickle of an array with the given states."""

    class Dtype:
        def __reduce__(self):
            return np.dtype, (code, False, True), dtype_state

    class Array:
        def __reduce__(self):
            return (
                np.ndarray.__reduce__(np.zeros(0))[0],
                (np.ndarray, (0,), b'b'),
                state or (1, (2,), Dtype(), False, bytes(8)),
            )

    return pickle.dumps(dict(w=dict(v=Array())), protocol=2)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (damaged(code='V8'), "unknown data type 'V8'"),
        (damaged(state=(1, (2,), None, False, bytes(8))), 'damaged'),
        (damaged(state=(1, (2,), 'f4', False, bytes(8))), 'damaged'),
        (damaged(state=(1, (2,))), 'cannot be read'),
    ],
)
def test_damaged_values_of_numpy_are_refused(plain, tmp_path, content, message):
    """numpy itself ends the process for some of these."""
    with pytest.raises(ValueError, match=message):
        read_checkpoint(with_part(plain, tmp_path / 'x.pth', 'data.pkl', content))


def test_states_of_numpy_that_contradict_themselves(plain, tmp_path):
    whole = damaged()
    assert read_checkpoint_of(whole, plain, tmp_path).tolist() == [0, 0]
    assert read_checkpoint_of(damaged((3, '<', None, -1, -1, 0)), plain, tmp_path).tolist() == [0, 0], (
        'two entries lost'
    )
    for shape in ((3,), (-1, -2), (2**62, 2**62, 0, 8), ('a',)):
        content = whole.replace(pickle.dumps((2,), 2)[2:-1], pickle.dumps(shape, 2)[2:-1])
        if content != whole:
            with pytest.raises(ValueError, match=r'x\.pth .* cannot be read'):
                read_checkpoint_of(content, plain, tmp_path)


def read_checkpoint_of(content, plain, tmp_path):
    return load_restricted(with_part(plain, tmp_path / 'x.pth', 'data.pkl', content))['w']['v']
