"""Compare the peak memory that ``sapiens estimate`` predicts for a training step with that of a real one.

A step is forward and backward pass, clipping and the optimizer of the config, with random images and labels. On CPUs, torch's
profiler counts the bytes of all live tensors; on a GPU, its allocator does. Small batches show weights, gradients and states,
large ones show activations.

Examples:
    python tools/benchmark/estimate.py
    python tools/benchmark/estimate.py --config sapiens_0.3b_humans300m-1024x1024 --batch 1 16 --precision bf16 --device cuda
"""

from prettytable import PrettyTable, TableStyle

import sapiens.engine  # noqa: F401  (registers what configs name)
from sapiens.engine.estimate.measure import measure_step
from sapiens.engine.estimate.trace import tasks_of, trace_step
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument

CONFIGS = (
    'mae/sapiens_tiny_synthetic-128x128',
    'pose/sapiens_tiny_synthetic17-128x96',
    'seg/sapiens_tiny_synthetic-128x96',
    'depth/sapiens_tiny_synthetic-128x96',
    'normal/sapiens_tiny_synthetic-128x96',
)


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument(
        '--config', nargs='+', default=CONFIGS, help='paths or names; default: tiny ones of five tasks'
    )
    text = 'images of a step; default: %(default)s'
    parser.add_argument('--batch', type=positive, nargs='+', default=[1, 2, 32], metavar='NUMBER', help=text)
    kinds = ['fp32', 'bf16']
    parser.add_argument('--precision', nargs='+', choices=kinds, default=kinds, help='of autocast; default: both')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='default: %(default)s')
    add_options_argument(parser)
    args = parser.parse_args()
    table = PrettyTable(
        ['config', 'precision', 'batch', 'weights and states MB', 'measured MB', 'estimate MB', 'error']
    )
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    table.align['config'] = 'l'
    worst = 0.0
    for name in args.config:
        cfg = load_config(name, args.cfg_options)
        task = tasks_of(cfg)[0]
        for precision in args.precision:
            memory = trace_step(cfg, precision, 'cpu' if args.device == 'cpu' else 'gpu', task).memory
            held = memory.parameters + memory.state
            for batch in args.batch:
                measured = measure_step(cfg, batch, precision, args.device, task)
                error = memory.peak(batch) / measured - 1
                worst = max(worst, abs(error))
                numbers = (f'{value / 1e6:,.1f}' for value in (held, measured, memory.peak(batch)))
                table.add_row([name.removesuffix('.py'), precision, batch, *numbers, f'{error:+.1%}'])
    print(table)
    print(f'largest error: {worst:.1%}')


if __name__ == '__main__':
    main()
