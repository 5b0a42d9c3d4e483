"""Messages about mistyped names in configs, where MMEngine and Python raise their own."""

import inspect
import re
import traceback

from mmengine.registry import Registry

from sapiens import registry
from sapiens.metainfo.naming import near

__all__ = ['explain_error']


def explain_error(error: Exception) -> str:
    """The message of an error, with the most similar known name where a type or an argument does not exist."""
    text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    if found := re.match(r'(\S+) is not in the sapiens::(.+?) registry', text):
        name, kind = found.groups()
        ours = next(one for one in vars(registry).values() if isinstance(one, Registry) and one.name == kind)
        hint = near(name, {*ours.module_dict, *ours.parent.module_dict}) or '.'
        return f'no {kind.replace("_", " ")} is called {name!r}{hint} custom_imports lists the modules of your own classes'
    if found := re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text):
        return text + near(found[2], _arguments(error, found[1]))
    return f'{refusing}: {text}' if (refusing := _refusing_class(error)) else text


def _refusing_class(error: Exception) -> str:
    """The class of another package that refuses its arguments from a config, or ''."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames or not frames[-1].f_globals.get('__name__', '').startswith(('mmengine.', 'torch.')):
        return ''
    built = [frame.f_locals['obj_cls'] for frame in frames if isinstance(frame.f_locals.get('obj_cls'), type)]
    return built[-1].__name__ if built else ''


def _arguments(error: Exception, name: str) -> set[str]:
    """Arguments of the class that an error is about, and of those that it hands arguments on to."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # MMEngine's build_from_cfg calls the class obj_cls, other code by its own name.
    kinds = [frame.f_locals.get('obj_cls') for frame in frames] + [frame.f_globals.get(name) for frame in frames]
    for kind in kinds:
        if isinstance(kind, type) and any(base.__name__ == name for base in kind.__mro__):
            inits = [base.__init__ for base in kind.__mro__ if '__init__' in vars(base) and base is not object]
            return {key for init in inits for key in inspect.signature(init).parameters} - {'self', 'args', 'kwargs'}
    return set()
