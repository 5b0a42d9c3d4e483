"""An exported graph in the place of a model's network, so that the metrics of its task judge the file itself."""

# B batch, K channels of the output, k those asked for, h w size of the images in pixels

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sapiens.models import DenseEstimator, PoseEstimator

from .graph import outputs_of
from .loading import Exported

__all__ = ['run_graph_in']


def run_graph_in(model: nn.Module, exported: Exported) -> None:
    """Let ``model`` predict with ``exported``: normalisation, flip test, decoding and losses stay the model's. It is changed.

    Args:
        model: of the task that the file was written for.
        exported: from :func:`load_export`; an undecoded graph of normalised images, as tools/export.py writes them without
            ``--with-preprocess`` and ``--with-decode``, and as the published files are.

    Raises:
        ValueError: a file with more in it, or of another task.
    """
    if not isinstance(model, PoseEstimator | DenseEstimator):
        raise ValueError(f'{type(model).__name__} has no head whose output an exported graph could stand for')
    (wanted,) = (output.name for output in outputs_of(model, decode=False))
    if exported.meta.get('task'):
        if exported.names != [wanted]:
            raise ValueError(
                f'the exported graph puts out {", ".join(exported.names)}, this model needs {wanted}: export its own config '
                'without --with-decode'
            )
        if exported.meta['normalisation']['inside']:
            raise ValueError(
                'the exported graph normalises images, which the model does too: export without --with-preprocess'
            )
    model.backbone = _Images()
    if isinstance(model, PoseEstimator):
        # The graph puts out the maps that are decoded, not what the head put out for the loss.
        model.head = _Graph(exported, model.loss_module.from_heatmaps)
    else:
        model.decode_head = _Graph(exported)


class _Images(nn.Module):
    """Hands the images through to the graph, in the place of an encoder."""

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        return (inputs,)


class _Graph(nn.Module):
    """The graph in the place of a head, whose output ``to_head`` finds. One that takes a single image gets them one by one."""

    def __init__(self, exported: Exported, to_head: Callable[[Tensor], Tensor] = torch.Tensor.float) -> None:
        super().__init__()
        self.exported, self.to_head = exported, to_head
        self.is_single = exported.meta.get('input', {}).get('shape', ['batch'])[0] == 1

    def forward(self, inputs: Tensor, channels: Tensor | None = None) -> Tensor:
        """(B, 3, h, w) -> (B, K, ...), or the k ``channels`` of it."""
        outputs = [
            next(iter(self.exported(part).values())) for part in inputs.split(1 if self.is_single else len(inputs))
        ]
        output = self.to_head(torch.cat(outputs))
        return output if channels is None else output[:, channels]
