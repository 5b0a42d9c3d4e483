"""Fetch published checkpoints by name, from the Hugging Face hub to $SAPIENS_CHECKPOINT_ROOT (default: checkpoints).

A download that was cut off goes on where it stopped; size and checksum are compared with the hub's, and the tensors with those
the model should have. Afterwards the name stands for the file wherever a checkpoint is taken.

Examples:
    python tools/download.py --list                                # names, sizes, scores, and what is here already
    python tools/download.py sapiens-pose-1b
    python tools/download.py sapiens-pose-0.3b sapiens-seg-0.3b --root /data/checkpoints
    python tools/download.py sapiens-depth-1b --form torchscript   # or bfloat16: for inference
    python tools/test.py configs/pose/sapiens_1b_goliath-1024x768.py sapiens-pose-1b

The weights have a licence of their own, which is not that of this package: it is shown before each download.
"""

import argparse
import sys
from pathlib import Path

from sapiens.utils.cli import tool_parser
from sapiens.utils.zoo import FORMS, LICENCES, ZOO, Entry, checkpoint_root, find


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='of published models; --list shows them')
    parser.add_argument('--form', choices=list(FORMS), default='original',
                        help='original weights (default), or a graph for inference: torchscript, bfloat16')  # fmt: skip
    parser.add_argument('--root', type=Path, metavar='DIR', help='instead of $SAPIENS_CHECKPOINT_ROOT')
    parser.add_argument('--list', action='store_true', help='show the published models and exit')
    args = parser.parse_args()
    if bool(args.names) == args.list:
        parser.error('give names of models to fetch, or --list to see them')
    return args


def licence_of(entry: Entry) -> str:
    about = LICENCES[entry.licence]
    return (
        f'{entry.name}: the weights are under {entry.licence} ({about["title"]}, {about["url"]}), as published with them. '
        f'It allows {about["allows"]}, not {about["forbids"]}. The licence of this package does not change that.'
    )


def table(root: Path) -> str:
    rows = [('name', 'task', 'size', 'outputs', 'forms', 'here', 'published')]
    for entry in ZOO.values():
        here = [form for form in entry.repos if any((root / name).is_file() for name in entry.files(form))]
        scores = ', '.join(f'{metric} {value:g}' for metric, value in entry.published.items())
        outputs = str(entry.num_outputs or '-')
        rows.append(
            (entry.name, entry.task, entry.size, outputs, ' '.join(entry.repos), ' '.join(here) or '-', scores or '-')
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return '\n'.join(
        '  '.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main() -> None:
    args = parse_args()
    if args.list:
        print(table(args.root or checkpoint_root()))
        return
    try:
        entries = [find(name) for name in args.names]  # a wrong name fails before the first download
        for entry in entries:
            entry.default_form(args.form)
    except ValueError as error:
        sys.exit(str(error))
    from sapiens.apis.loading.download import compare_with_card, download  # brings torch, which a list does not need

    failed = False
    for entry in entries:
        print(licence_of(entry))
        try:
            path = download(entry, args.form, args.root)
            differences = [] if entry.task == 'detector' else compare_with_card(entry, path)
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        if differences:
            failed = True
            print(
                f'{entry.name}: {len(differences)} tensors are not as expected: {"; ".join(differences[:5])}',
                file=sys.stderr,
            )
        elif entry.task != 'detector':
            print(f'{entry.name}: {len(entry.shapes())} tensors as expected')
    sys.exit(int(failed))


if __name__ == '__main__':
    main()
