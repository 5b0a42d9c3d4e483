"""Tools as users run them, most of them in a process of their own."""

import importlib.util
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).parents[2] / 'tools'


def load_tool(name: str) -> ModuleType:
    """A tool as a module, for tests that look inside; ``name`` is its path below tools/ without suffix."""
    spec = importlib.util.spec_from_file_location(name.replace('/', '_') + '_tool', TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
