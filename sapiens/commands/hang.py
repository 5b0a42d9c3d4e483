"""Say which process did not come to a collective, after a training ended in a timeout.

It reads the folder flight_recorder, which a training of several processes writes into its work dir when a collective fails.

Examples:
    sapiens hang work_dirs/mae
An earlier failure of the same work dir:
    sapiens hang work_dirs/mae/flight_recorder_20261130_101500_000000
With the whole stack of each process:
    sapiens hang work_dirs/mae --stacks
"""

from pathlib import Path

from sapiens.engine.hang import find_hang, read_processes
from sapiens.utils.cli import tool_parser

__all__ = ['main']


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('work_dir', type=Path, help='work dir of the training, or a folder flight_recorder in it')
    parser.add_argument('--stacks', action='store_true', help='print the whole stack of each process')
    args = parser.parse_args(argv)
    processes = read_processes(args.work_dir)
    print('\n'.join(find_hang(processes)))
    for process in processes if args.stacks else ():
        print(f'\n{process.name}:\n{process.stack or "no stack"}')
