"""Curves and information of a run in checkpoints."""

import torch
from mmengine.logging import MessageHub

from sapiens.engine.message_hub import hub_state, load_hub_state


def test_curves_of_another_run_are_not_continued():
    hub = MessageHub('test_curves_of_another_run')
    hub.update_scalar('train/loss', 2.0)
    hub.update_info('last_ckpt', 'iter_1.pth')
    state = hub_state(hub)
    hub.update_scalar('train/loss', 1.0)
    hub.update_scalar('train/seg_loss', 3.0)  # after the checkpoint
    load_hub_state(hub, state)
    assert list(hub.log_scalars) == ['train/loss'] and hub.get_info('last_ckpt') == 'iter_1.pth'
    again = hub_state(hub)
    assert all(
        torch.equal(*pair) for pair in zip(state['curves']['train/loss'], again['curves']['train/loss'], strict=True)
    )
    assert again['info'] == state['info']
