"""State of hooks in a checkpoint."""

from types import SimpleNamespace

from mmengine.hooks import Hook

from .toy import make_runner


class Counter(Hook):
    """Has a state of its own, without a name."""

    def __init__(self):
        self.count = 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.count += 1

    def state_dict(self):
        return dict(count=self.count)

    def load_state_dict(self, state):
        self.count = state['count']


def test_every_hook_of_a_name_gets_the_state(tmp_path):
    every_iteration = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2))
    make_runner(tmp_path, hooks=[Counter()], default_hooks=every_iteration).train()
    hooks = SimpleNamespace(first=Counter(), second=Counter())
    runner = make_runner(
        tmp_path / 'again', hooks=[hooks.first, hooks.second], resume=True, load_from=str(tmp_path / 'iter_4.pth')
    )
    runner.load_or_resume()
    assert hooks.first.count == hooks.second.count == 4
