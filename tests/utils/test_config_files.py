from collections import Counter
from pathlib import Path

import pytest
from mmengine.config import Config

from sapiens.utils import config_files
from sapiens.utils.config import load_config, origin_of
from sapiens.utils.config_files import read_files_once


@pytest.fixture
def reads(monkeypatch):
    """How often MMEngine reads each file, by its name."""
    found = Counter()
    original = config_files._MMENGINE

    def count(filename, *args):
        found[Path(filename).name] += 1
        return original(filename, *args)

    monkeypatch.setattr(config_files, '_MMENGINE', count)
    return found


@pytest.fixture
def chain(tmp_path):
    """Three files, each the base of the next one."""
    (tmp_path / 'a.py').write_text("model = dict(type='MAE', decoder=dict(num_layers=1, num_heads=2))\n")
    (tmp_path / 'b.py').write_text("_base_ = 'a.py'\nmodel = dict(decoder=dict(num_layers=2))\n")
    (tmp_path / 'c.py').write_text("_base_ = 'b.py'\nmodel = dict(decoder=dict(embed_dims=16))\n")
    return tmp_path / 'c.py'


@pytest.mark.parametrize('read', [load_config, origin_of])
def test_a_file_is_read_once(read, chain, reads):
    read(chain)
    assert reads == {'a.py': 1, 'b.py': 1, 'c.py': 1}


def test_a_file_that_changes_is_read_again(chain):
    assert load_config(chain).model.decoder.num_layers == 2
    chain.with_name('b.py').write_text("_base_ = 'a.py'\nmodel = dict(decoder=dict(num_layers=3))\n")
    assert load_config(chain).model.decoder.num_layers == 3


def test_configs_of_one_file_share_nothing(chain, reads):
    with read_files_once():
        one = Config.fromfile(str(chain))
        one.model.decoder.num_heads = 8
        two = Config.fromfile(f'{chain.parent}/./c.py')
        assert two.model.decoder == dict(num_layers=2, num_heads=2, embed_dims=16)
        two.model.decoder.num_heads = 4
        with read_files_once():
            assert Config.fromfile(str(chain)).model.decoder.num_heads == 2
        assert Config.fromfile(str(chain)).text == two.text
    assert reads['a.py'] == 1
    Config.fromfile(str(chain))
    assert reads['a.py'] == 2
