"""Environment variables in config files: ``'{{$DATA_ROOT:data}}/coco'``, a name and a default value."""

import ast
import os
import re
from pathlib import Path

from mmengine.config import Config

__all__ = ['substitute_environment']

PLACEHOLDER = re.compile(r'\{\{[\'"]?\s*\$(\w+)\s*:\s*(\S*?)\s*[\'"]?\}\}')
_MMENGINE = Config._substitute_env_variables


def substitute_environment(source: str, target: str) -> dict[str, str]:
    """Write a config file with the values of its placeholders.

    MMEngine pastes a value into the text of the file, where an apostrophe ends the string and a backslash begins an escape
    sequence. Here a placeholder in a string becomes the value itself, whatever its characters. A placeholder outside strings
    becomes the Python literal that the value spells.

    Args:
        source, target: files, possibly the same one.

    Returns:
        The variables that are set, with their values.

    Raises:
        KeyError: a variable is set to nothing, or is not set and has no default.
        SyntaxError: the file is not Python.
        ValueError: a placeholder outside strings whose value is not a Python literal.
    """
    text = Path(source).read_text(encoding='utf-8')
    if Path(source).suffix != '.py' or not PLACEHOLDER.search(text):
        return _MMENGINE(source, target)
    names, values = {}, {}

    def mark(match: re.Match) -> str:
        name, default = match.groups()
        value = os.environ.get(name)
        if value is None and default:
            return default  # source text, as the rest of the file
        if not value:
            raise KeyError(f'the environment variable {name} is empty, or not set: set it to a value')
        marker = f'_environment_{len(values)}_'
        names[marker], values[marker] = name, value
        return marker

    text = PLACEHOLDER.sub(mark, text)
    if values:
        text = ast.unparse(_Insertion(names, values).visit(ast.parse(text)))
    Path(target).write_text(text, encoding='utf-8')
    return {name: os.environ[name] for name in names.values()}


class _Insertion(ast.NodeTransformer):
    """Puts values in the place of their markers."""

    def __init__(self, names: dict[str, str], values: dict[str, str]) -> None:
        self.names, self.values = names, values

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str):
            return ast.Constant(re.sub(r'_environment_\d+_', lambda match: self.values[match[0]], node.value))
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.values:
            return node
        name, value = self.names[node.id], self.values[node.id]
        try:
            return ast.Constant(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            raise ValueError(
                f'the environment variable {name}={value!r} is not a Python literal, such as 80'
            ) from None


Config._substitute_env_variables = staticmethod(substitute_environment)
