"""An exported graph as the network of a model, so that the metrics of the task judge the file itself."""

# B batch, K channels of the output, k those asked for, h w size of the images in pixels

import torch
from torch import Tensor, nn

from sapiens.models import BoxEstimator, DenseEstimator, PoseEstimator

from .load_export import Exported
from .outputs import field_names, outputs_of

__all__ = ['run_graph_in']


def run_graph_in(model: nn.Module, exported: Exported) -> None:
    """Let ``model`` predict with ``exported``. Normalization, flip test, decoding and losses stay those of the model.

    Args:
        model: of the task that the file was exported from. It is changed.
        exported: from :func:`load_export`; an undecoded graph of normalized images, as ``sapiens export`` writes it without
            ``--with-preprocess`` and ``--with-decode``, and as published.

    Raises:
        ValueError: a graph that normalizes or decodes, or one of another task.
    """
    if not isinstance(model, PoseEstimator | DenseEstimator | BoxEstimator):
        raise ValueError(f'{type(model).__name__} has no head whose output an exported graph could replace')
    wanted = [output.name for output in outputs_of(model, decode=False)]
    if exported.meta.get('task'):
        if exported.names != wanted:
            raise ValueError(
                f'the exported graph has the outputs {", ".join(exported.names)}, this model needs {", ".join(wanted)}: '
                'export its own config without --with-decode'
            )
        if exported.meta['normalisation']['inside']:
            raise ValueError(
                'the exported graph normalizes images, as the model does: export without --with-preprocess'
            )
    is_single = exported.meta.get('input', {}).get('shape', ['batch'])[0] == 1
    keys = list(field_names(model, decode=False).values()) if isinstance(model, DenseEstimator) else []

    def network(inputs: Tensor, channels: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """(B, 3, h, w) -> (B, K, ...), or the k ``channels`` of it. A graph of a single image gets them one by one."""
        parts = [list(exported(part).values()) for part in inputs.split(1 if is_single else len(inputs))]
        outputs = [torch.cat(values).float() for values in zip(*parts, strict=True)]
        if len(keys) > 1:
            return dict(zip(keys, outputs, strict=True))
        if isinstance(model, PoseEstimator):
            # The graph gives the maps that are decoded, not the head's output, which the loss compares.
            outputs[0] = model.loss_module.from_heatmaps(outputs[0])
        return outputs[0] if channels is None else outputs[0][:, channels]

    model.replace_network(network)
