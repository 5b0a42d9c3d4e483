"""Work that outgrows a machine: units of work, run by processes of this machine or by Ray.

A *stage* is a name and a factory of workers. A *unit* is one part of the stage's work, such as an input shard. A *worker* is
built once per process or actor, where it may hold a GPU, and is called with each unit and a folder to write its files in::

    class CountImages:
        def __init__(self, suffix: str):            # once per process: load models here
            self.suffix = suffix

        def __call__(self, unit: Unit, folder: Path) -> dict[str, int]:
            paths = [path for path in unit.data['paths'] if path.endswith(self.suffix)]
            (folder / f'{unit.name}.txt').write_text('\\n'.join(paths))
            return {'images': len(paths)}           # whole numbers, which are summed over units

    stage = Stage('count', partial(CountImages, '.jpg'))
    units = (Unit(f'part-{index:06d}', {'paths': paths}) for index, paths in enumerate(parts))
    with OutputFolder('out') as out:                # locked
        total = follow(LocalEngine(workers=4).run(stage, units, out), stage, total=len(parts))

What the engines promise:

- The files of a unit depend on the unit alone: random generators are seeded from its name, whatever the order and the engine.
- Files appear under ``out`` when the unit is complete, then its record (``records/STAGE/UNIT.json``). A unit with a record is not
  run again, unless its data, the seed or the stage's ``version`` changed, or one of its files is missing.
- The unit of a worker that dies is run again by another one, up to :attr:`Engine.retries` times. A unit that raises an error, or
  that keeps killing its worker, leaves ``failures/STAGE/UNIT.txt``; the others go on. The next run tries it again.
- Each worker has one unit at a time, and units are drawn from the iterable as workers become free: memory does not grow with
  their number. Batches are the worker's own matter.
- An error while a worker is built ends the run, as do a full disk and Ctrl-C. Finished units are kept.

A stage ``in_place`` is for work whose files tell by themselves what is done, such as one image of many. Its workers write to
``out`` themselves and leave out what is there, its units are not recorded, and the first error ends the run.

:func:`add_engine_arguments` and :func:`build_engine` give a command ``--engine``, ``--workers``, ``--address``.
"""

from .arguments import add_engine_arguments, build_engine, check_engine
from .engine import Engine, WorkersDied
from .local import LocalEngine
from .output import OutputFolder
from .progress import follow
from .ray_engine import RayEngine
from .runner import UnitFailed
from .units import Outcome, Stage, Unit

__all__ = [
    'Engine',
    'LocalEngine',
    'Outcome',
    'OutputFolder',
    'RayEngine',
    'Stage',
    'Unit',
    'UnitFailed',
    'WorkersDied',
    'add_engine_arguments',
    'build_engine',
    'check_engine',
    'follow',
]
