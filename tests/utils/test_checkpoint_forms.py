"""Archives and folders: TorchScript, torch.export, torch.distributed.checkpoint, safetensors of a hub."""

import io
import json
import os
import pickle
import zipfile

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file

from sapiens.models import SapiensViT
from sapiens.utils.checkpoint import load_state, patch_padding_of, read_checkpoint, save_weights
from sapiens.utils.checkpoint.archive import read_torchscript
from sapiens.utils.checkpoint.sharded import read_folder

pytestmark = pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
IMAGE = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(7))


def encoder(seed=0, padding=2):
    torch.manual_seed(seed)
    model = SapiensViT(TINY, img_size=(64, 48), patch_padding=padding)
    model.init_weights()
    return model.eval()


class Whole(torch.nn.Module):
    """An encoder below ``backbone``, as in the published archives, which return a bare tensor."""

    def __init__(self, padding=2):
        super().__init__()
        self.backbone = encoder(padding=padding)

    def forward(self, image):
        return self.backbone(image)[-1]


def assert_same(found, wanted):
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in wanted.items())


@pytest.fixture(scope='module')
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp('script') / 'whole_torchscript.pt2'
    torch.jit.save(torch.jit.trace(Whole().eval(), IMAGE), path)
    return path


def test_weights_of_torchscript_without_running_it(script, monkeypatch):
    monkeypatch.setattr(torch.jit, 'load', None)
    read = read_checkpoint(script)
    assert (read.form, read.layout, read.key) == ('TorchScript archive', 'sapiens', '')
    assert_same(read.state_dict, Whole().state_dict())
    model = encoder(seed=3)
    assert load_state(model, read.state_dict).share == 1
    torch.testing.assert_close(model(IMAGE)[-1], encoder()(IMAGE)[-1])


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_torchscript_of_other_types_and_views(tmp_path, dtype):
    model = torch.nn.Linear(4, 6).to(dtype)
    model.register_buffer('piece', model.weight.detach()[2:4, 1:])  # a view: an offset and strides
    model.register_buffer('nothing', torch.zeros(0))
    model.register_buffer('number', torch.tensor(7))
    torch.jit.save(torch.jit.script(model), tmp_path / 'x.pt2')
    assert_same(read_checkpoint(tmp_path / 'x.pt2').state_dict, model.state_dict())


@pytest.mark.parametrize('padding', [0, 2])
def test_the_code_of_an_archive_tells_the_padding(tmp_path, padding):
    torch.jit.save(torch.jit.trace(Whole(padding).eval(), IMAGE), tmp_path / 'x.pt2')
    assert patch_padding_of(tmp_path / 'x.pt2') == padding
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / 'other.pt2')
    assert patch_padding_of(tmp_path / 'other.pt2') is None


class Bomb:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def with_part(path, out, ending, content):
    """A copy of a zip file with another content of one part, uncompressed like the rest."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, 'w') as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith(ending) else old.read(name))
    return out


def test_a_bomb_in_torchscript_runs_nothing(script, tmp_path):
    target = tmp_path / 'exploded'
    bomb = pickle.dumps(dict(weight=Bomb(target)), protocol=2)
    path = with_part(script, tmp_path / 'bomb.pt2', '/data.pkl', bomb)
    with pytest.raises(ValueError, match=r'asks to run code \(.*mkdir\).*nothing was run'):
        read_checkpoint(path)
    assert not target.exists()
    pickle.loads(bomb)
    assert target.exists(), 'the bomb of this test would explode if it were unpickled'


def test_a_dotted_name_reaches_nothing(script, tmp_path):
    # protocol 4 can ask for an attribute of what is allowed
    content = b'\x80\x04\x8c\x0ctorch._utils\x8c' + bytes([len('_rebuild_tensor_v2.__globals__')])
    content += b'_rebuild_tensor_v2.__globals__\x93.'
    with pytest.raises(ValueError, match='asks to run code'):
        read_checkpoint(with_part(script, tmp_path / 'x.pt2', '/data.pkl', content))


def reference(key='0', size=(2,), offset=0, kind='storage'):
    """The pickle of a module with one tensor, as TorchScript writes it."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return (kind, torch.FloatStorage, key, 'cpu', 2) if value == 'here' else None

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, ('here', offset, size, (1,), False, {})

    file = io.BytesIO()
    Pickler(file, 2).dump(dict(w=Tensor()))
    return file.getvalue()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (reference(size=(10**9,)), 'out of bounds'),
        (reference(key='../../etc/passwd'), 'There is no item named'),
        (reference(kind='module'), "a reference to 'module'"),
        (b'\x80\x02}', 'truncated|Ran out of input|exhausted'),
    ],
)
def test_contradicting_archives_are_refused(script, tmp_path, content, message):
    with pytest.raises(ValueError, match=f'x.pt2.*cannot be read.*({message})'):
        read_checkpoint(with_part(script, tmp_path / 'x.pt2', '/data.pkl', content))


def test_compressed_and_truncated_archives_are_refused(script, tmp_path):
    with zipfile.ZipFile(script) as old, zipfile.ZipFile(tmp_path / 'x.pt2', 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match='is compressed'):
        read_checkpoint(tmp_path / 'x.pt2')
    (tmp_path / 'y.pt2').write_bytes(script.read_bytes()[:-100])
    with pytest.raises(ValueError, match='it is truncated'):
        read_checkpoint(tmp_path / 'y.pt2')


def test_read_weights_are_a_copy(script):
    before = script.read_bytes()
    read_torchscript(script)['backbone.ln1.weight'].fill_(5)
    assert script.read_bytes() == before


def test_exported_programs(tmp_path):
    whole = Whole().eval().to(torch.bfloat16)
    program = torch.export.export(whole, (IMAGE.to(torch.bfloat16),))
    torch.export.save(program, tmp_path / 'x_bfloat16.pt2')
    read = read_checkpoint(tmp_path / 'x_bfloat16.pt2')
    assert read.form == 'torch.export archive'
    assert_same(read.state_dict, whole.state_dict())


@pytest.mark.parametrize('entry', ['serialized_state_dict.pt', 'x/data/weights/model.pt'])
def test_exported_programs_of_earlier_versions(tmp_path, entry):
    weights = {name: value.clone() for name, value in Whole().state_dict().items()}

    def write(path, content):
        file = io.BytesIO()
        torch.save(content, file)
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('serialized_exported_program.json', '{}')
            archive.writestr(entry, file.getvalue())
        return path

    assert_same(read_checkpoint(write(tmp_path / 'x.pt2', weights)).state_dict, weights)
    with pytest.raises(ValueError, match='asks to run code'):
        read_checkpoint(write(tmp_path / 'bomb.pt2', dict(w=Bomb(tmp_path / 'exploded'))))
    assert not (tmp_path / 'exploded').exists()


def shard(folder, content):
    dcp.save(content, checkpoint_id=str(folder), no_dist=True)
    return folder


def test_sharded_checkpoints(tmp_path):
    weights = encoder().state_dict()
    content = dict(state_dict=weights, optimizer=dict(state={0: dict(m=torch.ones(9))}), meta=dict(epoch=3))
    read = read_checkpoint(shard(tmp_path / 'iter_5', content))
    assert (read.form, read.key) == ('folder', 'state_dict')
    assert_same(read.state_dict, weights)
    assert set(read_folder(tmp_path / 'iter_5', wanted=('state_dict',))) == {'state_dict'}, 'the optimizer is not read'
    assert_same(read_checkpoint(shard(tmp_path / 'flat', dict(weights))).state_dict, weights)
    (tmp_path / 'iter_5' / '__0_0.distcp').unlink()
    with pytest.raises(ValueError, match=r'__0_0.distcp is missing'):
        read_checkpoint(tmp_path / 'iter_5')


def test_a_tensor_in_pieces(tmp_path):
    """Two ranks with half of the rows each: what FSDP2 writes."""
    from torch.distributed.checkpoint import metadata as description
    from torch.distributed.checkpoint.filesystem import _StorageInfo

    whole = torch.arange(12.0).reshape(4, 3)
    chunks, places = [], {}
    properties = description.TensorProperties(dtype=torch.float32)
    for rank, start in enumerate((0, 3)):
        piece = whole[start : (3, 4)[rank]].clone()
        offset = torch.Size((start, 0))
        torch.save(piece, tmp_path / f'__{rank}_0.distcp')
        chunks.append(description.ChunkStorageMetadata(offset, piece.shape))
        length = (tmp_path / f'__{rank}_0.distcp').stat().st_size
        places[description.MetadataIndex('w', offset, rank)] = _StorageInfo(f'__{rank}_0.distcp', 0, length)

    def write():
        tensors = dict(w=description.TensorStorageMetadata(properties, whole.shape, chunks))
        (tmp_path / '.metadata').write_bytes(pickle.dumps(description.Metadata(tensors, None, places)))

    write()
    assert read_checkpoint(tmp_path).state_dict['w'].tolist() == whole.tolist()
    index = list(places)[1]
    kept = places.pop(index)
    write()
    with pytest.raises(ValueError, match='cover 9 of 12 elements'):
        read_checkpoint(tmp_path)
    places[index] = _StorageInfo('../__1_0.distcp', 0, kept.length)
    write()
    with pytest.raises(ValueError, match='outside the folder'):
        read_checkpoint(tmp_path)


def test_bombs_in_folders_run_nothing(tmp_path):
    folder = shard(tmp_path / 'a', encoder().state_dict())
    (folder / '.metadata').write_bytes(pickle.dumps(Bomb(tmp_path / 'exploded')))
    with pytest.raises(ValueError, match='asks to run code'):
        read_checkpoint(folder)
    folder = shard(tmp_path / 'b', dict(w=torch.ones(2)))
    piece = io.BytesIO()
    torch.save(Bomb(tmp_path / 'exploded'), piece)
    (folder / '__0_0.distcp').write_bytes(piece.getvalue())
    with pytest.raises(ValueError, match='cannot be read'):
        read_checkpoint(folder)
    assert not (tmp_path / 'exploded').exists()


def test_folders_of_safetensors(tmp_path):
    weights = {name: value.clone() for name, value in encoder().state_dict().items()}
    names = sorted(weights)
    parts = {'model-1.safetensors': names[:7], 'model-2.safetensors': names[7:]}
    for file, inside in parts.items():
        save_file({name: weights[name] for name in inside}, tmp_path / file)
    index = {name: file for file, inside in parts.items() for name in inside}
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map=index)))
    assert_same(read_checkpoint(tmp_path).state_dict, weights)
    index['ln1.bias'] = '/etc/passwd'
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map=index)))
    with pytest.raises(ValueError, match='outside the folder'):
        read_checkpoint(tmp_path)
    for content, message in (
        ('', 'model.safetensors.index.json is not JSON'),
        ('[]', 'model.safetensors.index.json has no weight_map'),
        ('{}', 'model.safetensors.index.json has no weight_map'),
        ('{"weight_map": {"a": 3}}', 'model.safetensors.index.json has no weight_map'),
    ):
        (tmp_path / 'model.safetensors.index.json').write_text(content)
        with pytest.raises(ValueError, match=message):
            read_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match='is a folder, expected the file'):
        read_checkpoint(tmp_path.parent)


def test_a_single_file_of_weights_comes_before_parts_of_an_earlier_model(tmp_path):
    new = {name: value.clone() for name, value in encoder().state_dict().items()}
    old = {name: torch.zeros_like(value) for name, value in new.items()}
    save_file(old, tmp_path / 'model-1.safetensors')
    index = dict(weight_map=dict.fromkeys(old, 'model-1.safetensors'))
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(index))
    assert_same(read_checkpoint(tmp_path).state_dict, old)
    save_file(new, tmp_path / 'model.safetensors')
    assert_same(read_checkpoint(tmp_path).state_dict, new)


@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors'])
def test_written_weights_are_read_again(tmp_path, name):
    weights = encoder().state_dict()
    weights['view'] = torch.arange(100_000.0)[:3]
    save_weights(weights, tmp_path / 'sub' / name, dict(epoch=3, note='text'))
    read = read_checkpoint(tmp_path / 'sub' / name)
    assert_same(read.state_dict, weights)
    assert [path.name for path in (tmp_path / 'sub').iterdir()] == [name], 'no temporary file is left'
    if name == 'a.pth':
        assert read.meta == dict(epoch=3, note='text') and read.key == 'state_dict'
        save_weights(weights, tmp_path / 'flat.pth', flat=True)
        assert set(torch.load(tmp_path / 'flat.pth', weights_only=True)) == set(weights)
    assert os.path.getsize(tmp_path / 'sub' / name) < sum(w.nbytes for w in weights.values()) + 20_000
    with pytest.raises(ValueError, match='written as .pth or .safetensors, not .bin'):
        save_weights(weights, tmp_path / 'x.bin')
