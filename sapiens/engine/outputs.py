"""Output of a training whose reader has gone, such as the ``tee`` of a pipeline that Ctrl-C ends at once."""

import os
import select

__all__ = ['drop_closed_outputs']


def drop_closed_outputs(*_) -> None:
    """Send stdout and stderr to nowhere if they are pipes that nobody reads. A handler of SIGPIPE."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    for descriptor, event in poll.poll(0):
        if event & select.POLLERR:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
