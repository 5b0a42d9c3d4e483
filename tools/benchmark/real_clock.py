"""Milliseconds of models and detectors on one and on two cores: all that a call does, the network alone, and the same in ONNX.

The best of the repeats counts, on a machine that should do nothing else.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch
from harness import seconds

from sapiens.apis.export import ExportOptions, export_model, load_export

CORES = (1, 2)


def milliseconds(run: Callable, cores: int, repeats: int) -> float:
    """The best of the repeats, after one that does not count."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(cores)
    cv2.setNumThreads(cores)
    try:
        run()
        best = min(seconds(run)[0] for _ in range(repeats))
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
    return 1000 * best


def clock_call(run: Callable, repeats: int) -> dict[str, float]:
    """Of a whole call: pixels in, results out."""
    return {f'call, {cores} core{"s" * (cores > 1)}': milliseconds(run, cores, repeats) for cores in CORES}


def clock_network(config: str, checkpoint: str | None, model: Any, repeats: int) -> dict[str, float]:
    """Of the network for one input, here and in onnxruntime, which takes its number of threads when it loads a file.

    Args:
        config, checkpoint: of the model, as :func:`sapiens.apis.load_model` takes them.
        model: the loaded model.
    """
    inputs = torch.zeros(1, 3, *model.network.backbone.img_size)
    row = {}

    @torch.inference_mode()
    def eager() -> Any:
        return model.network(inputs)

    for cores in CORES:
        row[f'network, {cores}'] = milliseconds(eager, cores, repeats)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        export_model(config, checkpoint or config, ExportOptions('onnx'), path, [], 'cpu', None, False, say=str)
        for cores in CORES:
            before = torch.get_num_threads()
            torch.set_num_threads(cores)
            graph = load_export(path)
            torch.set_num_threads(before)
            row[f'onnx, {cores}'] = milliseconds(lambda graph=graph: graph(inputs), cores, repeats)
    return row
