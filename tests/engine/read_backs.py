"""Counts of what makes a training step wait for a GPU. Not collected."""

import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Operations that wait for their input: a number from a tensor, and outputs whose size depends on values.
WAITING = {
    aten._local_scalar_dense.default: 'item',
    aten.nonzero.default: 'nonzero or indexing by a mask',
    aten.masked_select.default: 'masked_select',
    aten._unique2.default: 'unique',
    aten.repeat_interleave.Tensor: 'repeat_interleave',
}
# Methods that copy to the host without an operation of their own, on a CPU.
METHODS = ('tolist', 'numpy', 'cpu', '__array__')


def here(frame):
    return frame.filename != __file__ and 'python_dispatch' not in frame.filename


class ReadBacks:
    """Records where tensors of more than nothing are read, while it is switched on.

    On a GPU each of these waits until everything launched before has run. Reads of tensors that never leave the host count too,
    unless they are below ``hosted``: a context in which code works on host tensors on purpose.
    """

    def __init__(self):
        self.found, self.paused = [], 0

    def note(self, what):
        if not self.paused:
            frames = [frame for frame in traceback.extract_stack()[:-2] if here(frame)]
            places = [f'{Path(frame.filename).name}:{frame.lineno} {frame.name}' for frame in frames[:-7:-1]]
            self.found.append(f'{what} in {" < ".join(places)}')

    @contextmanager
    def hosted(self):
        self.paused += 1
        try:
            yield
        finally:
            self.paused -= 1

    def paused_in(self, function):
        """The function, in which reads do not count."""

        def call(*args, **kwargs):
            with self.hosted():
                return function(*args, **kwargs)

        return call

    @contextmanager
    def counting(self):
        note = self.note

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                if function in WAITING:
                    note(WAITING[function])
                elif function is aten.index.Tensor and any(
                    index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
                ):
                    note('indexing by a mask')
                return function(*args, **(kwargs or {}))

        def noting(name, method):
            def call(self, *args, **kwargs):
                note(name)
                return method(self, *args, **kwargs)

            return call

        with ExitStack() as stack:
            for name in METHODS:
                stack.enter_context(patch.object(torch.Tensor, name, noting(name, getattr(torch.Tensor, name))))
            stack.enter_context(Mode())
            yield self
