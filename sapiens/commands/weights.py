"""Train, evaluate and pack the small weights that are part of this package.

NAME is sapiens-tiny-pose17, or pose17 for short; so are person, pose133, seg28, depth and normal. "keypoints" makes pose17 and
pose133 by one training. "all" trains the six together on one encoder, which learns keypoints first. The command renders
people, pretrains an encoder on them, trains the model of the name in front of photographs, evaluates it on 250 held-out people
and writes half-precision weights with a card. It ends after --minutes of the clock, and the same command goes on where it
stopped, also on another machine with the work dir. A GPU is used where there is one. docs/weights.md has the details.

Examples:
    sapiens weights all --minutes 240 --backgrounds photographs --backgrounds-from 'COCO, CC BY 2.0'
    sapiens weights pose17 --minutes 150 --backgrounds photographs --backgrounds-from 'COCO, CC BY 2.0'
    sapiens weights seg28 --minutes 600 --backgrounds photographs --backgrounds-from 'own, CC0' --out packed
    sapiens weights keypoints --minutes 150 --from-shipped ...    # on from the weights of this version of the package
    sapiens weights pose17 --pack work_dirs/x/iter_9000.pth --about card.json    # pack another training of the same config
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from sapiens.own_weights.pack import pack, require_own
from sapiens.own_weights.recipes import ALL, GROUPS, VAL_PEOPLE
from sapiens.own_weights.train import OwnTraining
from sapiens.utils.cli import above_zero, positive, tool_parser, zero_or_more


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--minutes', '--backgrounds', '--backgrounds-from', '--work-dir', '--out'))
    add = parser.add_argument
    add('name', metavar='NAME', help='of weights of the package, or "keypoints" or "all"')
    add('--minutes', type=above_zero, default=150.0, help='of the clock for this call; default: %(default)g')
    text = 'folder of photographs without people, put behind the rendered people and in front of them'
    add('--backgrounds', type=Path, metavar='DIR', help=text)
    add('--backgrounds-from', metavar='TEXT', help='their source and license, for the card')
    text = 'people, checkpoints and state; default: %(default)s'
    add('--work-dir', type=Path, default=Path('work_dirs/own_weights'), help=text)
    add('--out', type=Path, metavar='DIR', help='of the packed files; default: the folder of the package')
    text = 'start from the weights of this name in the package instead of a pretraining'
    add('--from-shipped', action='store_true', help=text)
    text = (
        'folder of photographs of people that are mixed with the rendered ones of pose and boxes: people_train*.json '
        '(COCO, 17 keypoints, free licenses) and images'
    )
    add('--photographs', type=Path, metavar='DIR', help=text)
    text = 'write the encoder to this file beside the weights, which several weights share'
    add('--encoder', metavar='NAME.safetensors', help=text)
    add(
        '--scores',
        type=Path,
        metavar='FILE',
        help='JSON of more scores for the card, such as tools/benchmark/real.py --out',
    )
    text = 'train in bf16, or not; default: where the GPU or CPU is fast in it'
    add('--amp', action=argparse.BooleanOptionalAction, help=text)
    text = 'people to train on; default: as the recipe of the weights says'
    add('--people', type=positive, help=text)
    add('--iterations', type=positive, help='steps of the training; default: as the recipe says')
    text = 'steps of the pretraining without labels, 0 for none; default: as the recipe says'
    add('--pretraining-iterations', type=zero_or_more, help=text)
    text = 'steps of the training of keypoints that precedes that of "all", 0 for none; default: as the recipe says'
    add('--keypoints-iterations', type=zero_or_more, help=text)
    add('--val-people', type=positive, default=VAL_PEOPLE, help='people to evaluate on; default: %(default)s')
    add('--batch-size', type=positive, help='images of a step; default: as the config says')
    add('--pack', metavar='CHECKPOINT', help='only pack this checkpoint')
    add(
        '--about',
        type=Path,
        metavar='FILE',
        help='card of --pack: JSON with data, commands, commit, hours, scores and limits',
    )
    args = parser.parse_args(argv)
    if bool(args.pack) != bool(args.about):
        parser.error('--pack CHECKPOINT needs --about FILE, and --about needs --pack')
    if args.from_shipped and (args.pretraining_iterations or args.keypoints_iterations):
        parser.error('--from-shipped takes the place of the stages before the training: give no iterations of them')
    if args.keypoints_iterations is not None and args.name != ALL:
        parser.error(f'--keypoints-iterations is for {ALL}: the other recipes have no such stage')
    if args.pack and args.name in GROUPS:
        parser.error(f'--pack packs one of the weights: name it instead of {args.name}')
    if not args.pack and not (args.backgrounds and args.backgrounds_from):
        parser.error('give --backgrounds DIR and --backgrounds-from TEXT: the photographs that the training shows')
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    what = GROUPS[args.name] if args.name in GROUPS else require_own(args.name)
    for path in (args.about, args.scores):
        if path is not None and not path.is_file():
            raise FileNotFoundError(f'no file {path}')
    if args.pack:
        pack(what.name, args.pack, json.loads(args.about.read_text(encoding='utf-8')), args.encoder, args.out)
        return
    if not args.backgrounds.is_dir():
        raise FileNotFoundError(f'--backgrounds {args.backgrounds} is not a folder')
    if args.photographs is not None and not args.photographs.is_dir():
        raise FileNotFoundError(f'--photographs {args.photographs} is not a folder')
    training = OwnTraining(
        what,
        args.work_dir,
        args.backgrounds,
        args.backgrounds_from,
        people=args.people,
        iterations=args.iterations,
        pretraining_iterations=args.pretraining_iterations,
        keypoints_iterations=args.keypoints_iterations,
        val_people=args.val_people,
        batch=args.batch_size,
        from_shipped=args.from_shipped,
        photographs=args.photographs,
        out=args.out,
        encoder=args.encoder,
        scores=json.loads(args.scores.read_text(encoding='utf-8')) if args.scores else {},
        amp=args.amp,
        say=lambda text: print(text, flush=True),
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clusters stop it as Ctrl-C does: with a checkpoint
    if not training.run(args.minutes):
        sys.exit(3)
