"""The state of a run in a checkpoint.

Everything with state has ``state_dict()``, which returns plain values and tensors, and ``load_state_dict(state)``: the optimizer
wrapper, the schedules, the message hub, the training loop and hooks. The loop, and hooks that set ``state_per_rank``, differ
between processes: each process stores its own state, and ``reshard_state(states, rank)`` derives one where a run continues on
another number of processes. Of other hooks the state of the main process is stored, under the hook's ``name``.

Layout of the file, beside ``state_dict`` (the weights):

==================  =======================================================
``meta``            progress (``epoch``, ``iter``), seeds, versions, config
``optimizer``       optimizer wrapper
``param_schedulers``  list, absent without schedules
``message_hub``     curves and run information
``rng``, ``data``   random state and position in the data, a list over processes
``hooks``           per process, class name -> state
``panels``          states of the other hooks, name -> state; absent without any
==================  =======================================================
"""

from mmengine.dist import all_gather_object, is_main_process

from .message_hub import hub_state, load_hub_state, plain

__all__ = ['collect_state', 'get_progress', 'restore_state']

# Entries of the loop's state that are lists over processes; the others are equal on all of them and are in 'meta'.
PER_RANK = ('rng', 'data')


def get_progress(loop) -> dict:
    """State of the training loop that is equal on all processes, for ``meta``."""
    return {key: value for key, value in loop.state_dict().items() if key not in PER_RANK}


def collect_state(runner, schedules: bool = True) -> dict:
    """State of the run as entries of a checkpoint, without weights and ``meta``. Every process must call this."""
    per_rank, shared = _stateful_hooks(runner)
    loop = runner.train_loop.state_dict()
    states = all_gather_object(
        {key: loop[key] for key in PER_RANK} | dict(hooks={name: hook.state_dict() for name, hook in per_rank})
    )
    collected = {key: [state[key] for state in states] for key in (*PER_RANK, 'hooks')}
    collected.update(optimizer=runner.optim_wrapper.state_dict(), message_hub=hub_state(runner.message_hub))
    if schedules and runner.param_schedulers is not None:
        collected['param_schedulers'] = [plain(schedule.state_dict()) for schedule in runner.param_schedulers]
    if is_main_process():
        panels = {name: state for name, hook in shared if (state := hook.state_dict()) is not None}
        if panels:
            collected['panels'] = panels
    return collected


def restore_state(runner, checkpoint: dict, source: str) -> None:
    """Hand the entries of a checkpoint back. The parts copy what they keep, since the file is mapped into memory.

    Raises:
        ValueError: another number of schedules, or data that cannot be continued.
    """
    schedules, states = runner.param_schedulers or [], checkpoint.get('param_schedulers') or []
    if len(states) != len(schedules):
        raise ValueError(
            f'{source} holds the state of {len(states)} schedules, this config has {len(schedules)}: resume with the config '
            'of the first run'
        )
    for schedule, state in zip(schedules, states, strict=True):
        schedule.load_state_dict(state)
    runner.optim_wrapper.load_state_dict(checkpoint['optimizer'])
    load_hub_state(runner.message_hub, checkpoint.get('message_hub') or dict(curves={}, info={}))
    progress = {key: checkpoint['meta'].get(key) for key in get_progress(runner.train_loop)}
    ranks = zip(*(checkpoint[key] for key in PER_RANK), strict=True)
    _load(runner.train_loop, [dict(progress, **dict(zip(PER_RANK, rank, strict=True))) for rank in ranks], runner)
    per_rank, shared = _stateful_hooks(runner)
    for name, hook in per_rank:
        states = [states[name] for states in checkpoint.get('hooks', ()) if name in states]
        if states:
            _load(hook, states, runner)
    for name, hook in shared:
        state = checkpoint.get('panels', {}).get(name)
        if state is not None and is_main_process():
            hook.load_state_dict(state)


def _load(part, states: list, runner) -> None:
    same = len(states) == runner.world_size
    part.load_state_dict(states[runner.rank] if same else part.reshard_state(states, runner.rank))


def _stateful_hooks(runner) -> tuple[list, list]:
    """(class name, hook) of hooks with a state of each process, and (``name`` or class name, hook) of those with one state.

    Hooks of one name have one state in a checkpoint, that of the last, and all of them are given it.
    """
    hooks = [hook for hook in runner.hooks if hasattr(hook, 'load_state_dict')]
    per_rank = [hook for hook in hooks if getattr(hook, 'state_per_rank', False)]
    return (
        [(type(hook).__name__, hook) for hook in per_rank],
        [(getattr(hook, 'name', type(hook).__name__), hook) for hook in hooks if hook not in per_rank],
    )
