"""What a training tells the launcher that may start it again."""

import os

from mmengine.dist import all_gather_object, get_rank

from sapiens.utils.restarts import RUN_FILE, RunFile, latest_checkpoint

__all__ = ['resumes_by_itself']


def resumes_by_itself(work_dir: str) -> bool:
    """Tell the launcher the work dir, and return whether this start continues an earlier one of the same launch.

    It does when a checkpoint was written since the first start: what lay in the work dir before that is not resumed unless the
    user asks for it. Every process must call this. Without a launcher that starts runs again it returns False.
    """
    if RUN_FILE not in os.environ:
        return False
    run = RunFile(os.environ[RUN_FILE])
    told = dict(at_start=run.at_start) if run.work_dir else None
    # Machines that have joined later have no file of the first start. The main process says which checkpoint is the latest.
    states = all_gather_object((told, latest_checkpoint(work_dir) if get_rank() == 0 else None))
    earlier = next((told for told, _ in states if told is not None), None)
    latest = states[0][1]
    if told is None and os.environ.get('LOCAL_RANK', '0') == '0':
        run.work_dir = os.path.abspath(work_dir)
        run.at_start = earlier['at_start'] if earlier else latest
        run.write()
    return earlier is not None and latest != earlier['at_start']
