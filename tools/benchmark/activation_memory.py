"""Memory of activations and cost of recomputing them, by the values of `activation_checkpointing`. Nothing is computed.

    python tools/benchmark/activation_memory.py                        # recipes of 0.3b and 0.4b at full size
    python tools/benchmark/activation_memory.py mae/sapiens_1b_humans300m-1024x1024 --settings off all 2 "dict(decoder='all')"

The columns: GB (10^9 bytes) per image, in a batch of 256, of tensors that exist between the forward and the backward pass, and at
the peak of both; what is kept compared with the first row; and the operations (FLOPs of matrix products, convolutions and
attention) in addition to those of the first row. Losses of dense tasks and of keypoints are left out: they come on top. The pass
is that of training, on torch's fake tensors of a CPU. Attention is the kind that does not keep a matrix of all pairs of tokens.
"""

import gc
import weakref

import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from prettytable import PrettyTable
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from sapiens.engine.recomputing import recompute_activations
from sapiens.models.layers import transformer
from sapiens.registry import MODELS
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument, parse_options

CONFIGS = (
    'mae/sapiens_0.3b_humans300m-1024x1024',
    'pose/sapiens_0.3b_coco-1024x768',
    'seg/sapiens_0.3b_goliath-1024x768',
    'depth/sapiens_0.3b_renderpeople-1024x768',
    'seg/sapiens2_0.4b_goliath-1024x768',
    'normal/sapiens2_0.4b_renderpeople-1024x768',
    'pointmap/sapiens2_0.4b_renderpeople-1024x768',
)
SETTINGS = ('off', 'dict(backbone="all")', '2', 'selective', 'all')
# Images. So many that gradients of weights, and their copies in bfloat16, hardly count.
BATCH = 256
aten = torch.ops.aten
# torch counts other kinds of attention only.
FLOPS = flop_registry | {
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(
        q.shape, k.shape, v.shape
    ),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *_, **__: (
        sdpa_backward_flop_count(grad.shape, q.shape, k.shape, v.shape)
    ),
}


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('configs', nargs='*', metavar='CONFIG', help=f'default: {", ".join(CONFIGS)}')
    text = "values of activation_checkpointing, such as 2 or dict(head='all'); default: %(default)s"
    parser.add_argument('--settings', nargs='+', default=SETTINGS, metavar='VALUE', help=text)
    text = 'of matrix products and convolutions; default: %(default)s'
    parser.add_argument('--precision', choices=('bf16', 'fp32'), default='bf16', help=text)
    add_options_argument(parser)
    args = parser.parse_args()
    try:
        args.loaded = {name: load_config(name, args.cfg_options) for name in args.configs or CONFIGS}
        args.parsed = {text: parse_options([f'x={text}'])['x'] for text in args.settings}
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    return args


class Held(TorchDispatchMode):
    """Bytes of tensors that operations have made inside of this context and that still exist. (torch's counter of operations
    holds tensors, so they are counted here too.)

    Attributes:
        now, peak: bytes.
        flops: operations.
    """

    def __init__(self, given: list[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = self.flops = 0
        self.given = [tensor.untyped_storage() for tensor in given]  # views of them are not new
        self.seen = weakref.WeakSet(self.given)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        results = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self.seen:
                self.seen.add(storage)
                self.now += storage.nbytes()
                weakref.finalize(storage, self.free, storage.nbytes())
        self.peak = max(self.peak, self.now)
        if count := FLOPS.get(operation._overloadpacket):
            self.flops += count(*args, **(kwargs or {}), out_val=results)
        return results

    def free(self, size: int) -> None:
        self.now -= size


def measure(model: nn.Module, images: Tensor, precision: str = 'bf16') -> tuple[int, int, int]:
    """Bytes between forward and backward pass, peak in both, and operations of a step."""
    with Held([images, *model.parameters(), *model.buffers()]) as held:
        with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
            output = model(images, mode='loss' if model.task_name == 'mae' else 'tensor')
        total = sum(value.float().sum() for value in tree_leaves(output))
        del output
        gc.collect()
        kept = held.now
        total.backward()
    model.zero_grad(set_to_none=True)
    return kept, held.peak, held.flops


def per_image(cfg, setting, precision: str) -> list[float]:
    """The numbers of :func:`measure` for one image of a batch."""
    with DefaultScope.overwrite_default_scope('sapiens'), torch.device('meta'):
        model = MODELS.build(cfg.model)
    recompute_activations(model, setting)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device='cpu').train()
        found = measure(model, torch.empty(BATCH, 3, *cfg.model.backbone.img_size), precision)
    return [value / BATCH for value in found]


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    transformer.SHORT = 0  # a workaround for CPUs, which changes types
    table = PrettyTable(['config', 'activation_checkpointing', 'kept GB', 'peak GB', 'kept', 'more operations'])
    table.align = 'r'
    table.align['config'] = table.align['activation_checkpointing'] = 'l'
    for name, cfg in args.loaded.items():
        plain = None
        for text, setting in args.parsed.items():
            kept, peak, flops = per_image(cfg, setting, args.precision)
            plain = plain or (kept, flops)
            row = f'{kept / plain[0]:.0%}', f'{flops / plain[1] - 1:.1%}'
            table.add_row([name, text, f'{kept / 1e9:.2f}', f'{peak / 1e9:.2f}', *row])
        table.add_divider()
    print(table)


if __name__ == '__main__':
    main()
