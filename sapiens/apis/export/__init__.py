"""Models as files for other programs: TorchScript, torch.export, ONNX, and weights alone."""

from .evaluate import run_graph_in
from .export_model import ExportError, ExportReport, export_model
from .load_export import Exported, load_export
from .options import FORMATS, TOLERANCES, ExportOptions

__all__ = [
    'FORMATS',
    'TOLERANCES',
    'ExportError',
    'ExportOptions',
    'ExportReport',
    'Exported',
    'export_model',
    'load_export',
    'run_graph_in',
]
