import os
from pathlib import Path

import pytest

from sapiens.utils.cli import add_runner_arguments, default_work_dir, load_runner_config, tool_parser

ROOT = Path(__file__).parents[2]


def parse(*options, doc='Does it.\n\nExamples:\n    python tools/x.py CONFIG   # as written'):
    parser = tool_parser(doc)
    parser.add_argument('config')
    add_runner_arguments(parser, 'the log goes')
    return parser, parser.parse_args(list(options)) if options else None


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    path = tmp_path / 'tiny_x.py'
    path.write_text("log_level = 'INFO'\n")
    return path


def test_the_config_knows_launcher_work_dir_and_options(config, monkeypatch):
    _, args = parse(str(config), '--launcher', 'pytorch', '--cfg-options', 'log_level=DEBUG', '--local-rank', '3')
    cfg = load_runner_config(args)
    assert (cfg.launcher, cfg.work_dir, cfg.log_level) == ('pytorch', 'work_dirs/tiny_x', 'DEBUG')
    assert os.environ['LOCAL_RANK'] == '3'
    monkeypatch.setenv('LOCAL_RANK', '5')  # what a launcher has set stays
    load_runner_config(args)
    assert os.environ['LOCAL_RANK'] == '5'
    monkeypatch.delenv('LOCAL_RANK')
    load_runner_config(parse(str(config))[1])
    assert 'LOCAL_RANK' not in os.environ, 'by which pods of Kubernetes are known'


@pytest.mark.parametrize('options', [['--work-dir', ''], ['--work-dir='], ['']])
def test_empty_values_are_refused(config, options, capsys):
    """A shell variable that is not set must not turn an option off."""
    with pytest.raises(SystemExit):
        parse(str(config), *options)
    assert f'{"--work-dir" if options[0] else "an argument"} is empty' in capsys.readouterr().err
    assert load_runner_config(parse(str(config), '--cfg-options', 'log_level=')[1]).log_level == ''


def test_a_given_work_dir_wins_over_the_config(config):
    config.write_text("work_dir = 'from_config'\n")
    assert load_runner_config(parse(str(config))[1]).work_dir == 'from_config'
    assert load_runner_config(parse(str(config), '--work-dir', 'given')[1]).work_dir == 'given'


def test_configs_of_one_name_have_work_dirs_of_their_own(config, tmp_path):
    names = [
        str(path.relative_to(ROOT / 'configs'))
        for path in (ROOT / 'configs').rglob('*.py')
        if '_base_' not in path.parts
    ]
    found = {name: str(default_work_dir(ROOT / 'configs' / name)) for name in names}
    assert len(set(found.values())) == len(names) > 50
    assert found['seg/sapiens_1b_goliath-1024x768.py'] == 'work_dirs/seg/sapiens_1b_goliath-1024x768'
    assert found['pose/sapiens_1b_coco-1024x768.py'] == 'work_dirs/sapiens_1b_coco-1024x768'
    for task in ('pose', 'seg'):
        (tmp_path / task).mkdir()
        (tmp_path / task / 'mine.py').write_text('')
    (tmp_path / 'seg/other.py').write_text('')
    assert str(default_work_dir(tmp_path / 'seg/mine.py')) == 'work_dirs/seg/mine'
    assert str(default_work_dir(tmp_path / 'seg/other.py')) == 'work_dirs/other'
    assert load_runner_config(parse(str(config))[1]).work_dir == 'work_dirs/tiny_x'


def test_help_shows_the_examples_as_written():
    parser, _ = parse()
    text = parser.format_help()
    assert '    python tools/x.py CONFIG   # as written\n' in text
    assert 'where the log goes (default: work_dirs/<name of the' in text and 'local' not in text
