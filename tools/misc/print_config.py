"""Show the merged config, and the file that decided each value.

Examples:
    python tools/misc/print_config.py configs/mae/sapiens_1b_humans300m-1024x1024.py
    python tools/misc/print_config.py CONFIG --only optim_wrapper --cfg-options optim_wrapper.optimizer.lr=1e-4
    python tools/misc/print_config.py CONFIG --json > merged.json
"""

import argparse
import json
import os
from pathlib import Path

from sapiens.utils.config import add_options_argument, flatten, load_config, origin_of

WIDTH = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--only', default='', metavar='PREFIX', help='keys that begin with this')
    parser.add_argument('--json', action='store_true', help='print {key: {value, file}} as JSON')
    add_options_argument(parser)
    args = parser.parse_args()

    before = flatten(load_config(args.config)._cfg_dict.to_dict())
    values = flatten(load_config(args.config, args.cfg_options)._cfg_dict.to_dict())
    origins = origin_of(args.config)
    rows = {}
    for key, value in values.items():
        if key.startswith(args.only):
            changed = key not in before or before[key] != value
            file = 'command line' if changed else os.path.relpath(origins[key], Path.cwd())
            rows[key] = dict(value=value, file=file)
    if args.json:
        print(json.dumps(rows, indent=2, default=str))
        return
    if not rows:
        parser.error(f'no key begins with {args.only!r}')
    for key, row in rows.items():
        text = f'{key} = {row["value"]!r}'
        text = text if len(text) <= 3 * WIDTH else f'{text[: 3 * WIDTH]}...'
        print(f'{text:<{WIDTH}}  # {row["file"]}')


if __name__ == '__main__':
    main()
