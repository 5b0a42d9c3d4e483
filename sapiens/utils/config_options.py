"""Options of the command line that change values of a config: a key that does not exist is an error, never an addition."""

import argparse
import ast
import shlex
from contextlib import suppress
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from .config_keys import ADDABLE, NAMES_OR_DICTS, PRIMITIVES, did_you_mean, has_key, top_level_keys

__all__ = ['add_options_argument', 'parse_options', 'set_option']


def add_options_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, whose strings :func:`.config.load_config` takes."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',  # given twice, both count
        metavar='KEY=VALUE',
        help='change values of the config, e.g. train_dataloader.batch_size=8 default_hooks.logger.interval=1; list items '
        'go by number (train_dataloader.dataset.pipeline.0.flip_prob=0). A key that does not exist is refused; '
        '+KEY=VALUE adds one on purpose',
    )


def parse_options(options: list[str] | dict[str, Any] | None) -> dict[str, Any]:
    """Flat keys and parsed values of command-line options."""
    if options is None or isinstance(options, dict):
        return dict(options or {})
    parsed = {}
    for option in options:
        key, found, text = option.partition('=')
        if not found or not key:
            raise ValueError(f'--cfg-options {option!r}: expected KEY=VALUE')
        parsed[key] = _parse(text, option)
    return parsed


def _parse(text: str, option: str) -> Any:
    if '{' in text or 'dict(' in text:  # DictAction knows no dicts
        with suppress(ValueError, SyntaxError):
            return ast.literal_eval(_Dicts().visit(ast.parse(text.strip(), mode='eval')))
        if text.startswith(('dict(', '{')) and text.endswith((')', '}')):
            raise ValueError(f'--cfg-options {option!r}: its dict cannot be read. Strings in it need quotes')
    plain = text.strip('\'"')
    if ' ' in plain and plain[:1] not in '[(' and ',' not in plain:
        return plain  # DictAction takes all spaces out, also those of a path
    try:
        return DictAction._parse_iterable(text)
    except AssertionError as error:
        raise ValueError(f'--cfg-options {option!r}: its brackets are not balanced') from error
    except RecursionError:  # commas inside of brackets only, as in "a(1,2)": no list
        return plain


class _Dicts(ast.NodeTransformer):
    """Turns ``dict(a=1)`` into ``{'a': 1}``, which literals may be."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        names = [keyword.arg for keyword in node.keywords]
        if not (isinstance(node.func, ast.Name) and node.func.id == 'dict') or node.args or None in names:
            return node
        return ast.Dict([ast.Constant(name) for name in names], [keyword.value for keyword in node.keywords])


def set_option(cfg: Config, key: str, value: Any, source: str) -> None:
    """Set one value by its flat key, in place; see :func:`.config.load_config` for what is refused.

    A key below a name (``model.backbone.arch.embed_dims``) begins a dict that replaces the name.
    """
    add = key.startswith('+')
    key = key.removeprefix('+')
    add |= f'{key}.'.startswith(tuple(f'{one}.' for one in ADDABLE))
    parts = key.split('.')
    if not all(parts):
        raise ValueError(f'--cfg-options {key}: a part of the key is empty')
    if parts[0] in cfg or add:
        _refuse_without_effect(cfg, parts, value, source, add)
    node, seen = cfg._cfg_dict, []
    for part in parts[:-1]:
        child = _child(node, part, seen, key, source, add)
        starts_dict = part in NAMES_OR_DICTS and isinstance(child, str)
        if (child is None and add) or starts_dict:
            child = node[int(part) if isinstance(node, list) else part] = ConfigDict()
        node = child
        seen.append(part)
    last = parts[-1]
    may_add = add or bool(NAMES_OR_DICTS.intersection(seen[-1:]))  # the class of such a dict checks its keys
    if not (may_add and isinstance(node, dict) and last not in node):
        value = _checked(_child(node, last, seen, key, source, False), value, key)
    node[int(last) if isinstance(node, list) else last] = value


def _refuse_without_effect(cfg: Config, parts: list[str], value: Any, source: str, add: bool) -> None:
    """A silent no-effect is the worst answer to an option."""
    top, key = parts[0], '.'.join(parts)
    option = f'--cfg-options {key}={value!r}'
    if top in PRIMITIVES or top.startswith('_'):
        text = f'{option} would change nothing: {top!r} of {source} was used up when the file was read'
        wired = PRIMITIVES.get(top, ('',))[0]
        place = '.'.join([wired, *parts[1:]])
        if wired and has_key(cfg._cfg_dict, place.rpartition('.')[0] if add else place):
            written = shlex.quote(f'{"+" * add}{place}={value}')
            raise ValueError(f'{text}: it is wired into {wired}. Override that: --cfg-options {written}')
        raise ValueError(
            f'{text}{f", wired into {wired}" if wired else ""}. Override the key it went into: '
            f'sapiens config {source} shows them all'
        )
    known = top_level_keys()
    if top not in known:
        raise ValueError(f'{option} would change nothing: {top!r} is not a key of a config{did_you_mean(top, known)}')


def _child(node: Any, part: str, seen: list[str], key: str, source: str, add: bool) -> Any:
    where = '.'.join(seen) or 'the config'
    if isinstance(node, list):
        if not part.isdigit() or int(part) >= len(node):
            what = f'{where} of {source} is a list of {len(node)}'
            raise ValueError(f'--cfg-options {key}: {what}, {part!r} is not an item of it')
        return node[int(part)]
    if not isinstance(node, dict):
        raise ValueError(
            f'--cfg-options {key}: {where} of {source} is {str(node)[:60]} and has no keys: give its value as a whole'
        )
    if part not in node and add:
        node[part] = ConfigDict()
    elif part not in node:
        raise ValueError(
            f'no key {part!r} in {where} ({source}){did_you_mean(part, node)} (its keys: {", ".join(map(str, node))}; '
            f'+{key}=... adds it on purpose)'
        )
    return node[part]


def _checked(old: Any, new: Any, key: str) -> Any:
    """The new value in the type of the old one where that loses nothing, or an error."""
    if old is None or new is None:
        return new
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return type(old)(new)
    number, either = int | float, str | dict | int
    if type(old) is int and isinstance(new, float) and new.is_integer():
        return int(new)  # 1e3 iterations
    fits = (
        type(old) is type(new)
        # A number may be an alternative to 'auto' or 'off'.
        or (isinstance(old, str) and not isinstance(new, dict | list | tuple))
        or (isinstance(old, dict) and isinstance(new, dict))
        or (key.rpartition('.')[2] in NAMES_OR_DICTS and isinstance(old, either) and isinstance(new, either))
        or (isinstance(old, number) and isinstance(new, number) and isinstance(old, bool) == isinstance(new, bool))
    )
    if not fits:
        raise ValueError(
            f'--cfg-options {key}={new!r}: a {type(new).__name__} cannot take the place of {old!r} ({type(old).__name__})'
        )
    return new
