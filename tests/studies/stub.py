"""A training, or a test, of milliseconds in the place of ``sapiens train`` and ``sapiens test``. Not collected.

``train CONFIG --resume --work-dir DIR --cfg-options ...`` counts iterations, writes checkpoints and logs, resumes, and stops on
SIGTERM. Its result depends on its options, its seed and the checkpoint that it starts from. ``layer_decay_rate=0.13`` fails,
``0.14`` has no memory left, ``0.15`` does not validate. ``starts.txt`` of the work dir has a line for each start. The variables
``STUB_STEPS`` and ``STUB_SECONDS`` are the number of iterations and the time of each; with ``STUB_VALIDATE`` each is followed by
a validation.
"""

import hashlib
import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path

# Without its package, which imports torch.
WATCH = Path(__file__).parents[2] / 'sapiens/utils/launcher_watch.py'
RATE = 'optim_wrapper.paramwise_cfg.layer_decay_rate'


def main(argv: list[str]) -> None:
    spec = importlib.util.spec_from_file_location('launcher_watch', WATCH)
    watch = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(watch)
    watch.INTERVAL = 0.05
    watch.stop_with_launcher()
    command, config = argv[0], argv[1]
    folder = Path(argv[argv.index('--work-dir') + 1])
    options = dict(option.split('=', 1) for option in argv[argv.index('--cfg-options') + 1 :])
    try:
        os.close(os.open(folder / 'busy', os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        if is_alive(int((folder / 'busy').read_text() or 0)):
            (folder / 'twice').touch()
    (folder / 'busy').write_text(str(os.getpid()))
    with open(folder / 'starts.txt', 'a') as file:
        file.write(f'{os.getpid()} {os.environ.get("OMP_NUM_THREADS")}\n')
    if command == 'test':
        value = json.loads(Path(argv[2]).read_text())['value']
        Path(argv[argv.index('--out') + 1]).write_text(json.dumps({'coco/AP': value / 2}))
    else:
        train(folder, config, options, '--resume' in argv)
    (folder / 'busy').unlink()


def is_alive(pid: int) -> bool:
    """Whether a process runs. One that was killed may stay in the list of processes as a zombie."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def train(folder: Path, config: str, options: dict, is_resumed: bool) -> None:
    received = []
    signal.signal(signal.SIGTERM, lambda *_: received.append(1))
    load_from = options.pop('load_from', None)
    parent = json.loads(Path(load_from).read_text()) if load_from not in (None, 'None') else {}
    rate, seed = options.get(RATE), options['randomness.seed']
    text = repr([config, sorted(options.items()), parent.get('value')])
    value = (
        int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) / 16**6 * 0.01 + float(rate or 0) + 0.001 * int(seed)
    )
    start = 0
    if is_resumed and (folder / 'last_checkpoint').exists():
        start = json.loads(Path((folder / 'last_checkpoint').read_text()).read_text())['step']
    log = folder / time.strftime('%Y%m%d') / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True, exist_ok=True)
    steps = int(os.environ.get('STUB_STEPS', 3))
    for step in range(start + 1, steps + 1):
        time.sleep(float(os.environ.get('STUB_SECONDS', 0)))
        if rate == '0.13':
            raise RuntimeError('the loss is wrong')
        if rate == '0.14':
            raise MemoryError('out of memory')
        with open(log, 'a') as file:
            file.write(json.dumps(dict(step=step, iter=step, loss=1 / step, time=0.25)) + '\n')
            if rate != '0.15' and (step == steps or 'STUB_VALIDATE' in os.environ):
                file.write(json.dumps(dict(step=step, val_loss=1 - value, **{'coco/AP': value})) + '\n')
        path = folder / f'iter_{step}.pth'
        path.with_suffix('.tmp').write_text(json.dumps(dict(step=step, value=value)))
        path.with_suffix('.tmp').rename(path)
        (folder / 'last.tmp').write_text(str(path))
        (folder / 'last.tmp').rename(folder / 'last_checkpoint')
        if received:
            (folder / 'busy').unlink()
            sys.exit(128 + signal.SIGTERM)


if __name__ == '__main__':
    main(sys.argv[1:])
