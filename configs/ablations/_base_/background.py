"""Random photographs behind people in training, on and off for each dense task.

Tested on the held-out data of the recipe, and on people in front of photographs that training has not seen
(``photographs/val``, rendered with ``--backgrounds``).
"""

_unseen = [
    dict(
        name=f'{task}-unseen',
        command='test',
        after=task,
        options={'test_dataloader.dataset.data_root': '{{$DATA_ROOT:data}}/photographs/val'},
    )
    for task in ('seg', 'depth', 'normal')
]
_metrics = {'mIoU': 'higher', 'RMSE': 'lower', 'mean': 'lower'}
metrics = {
    f'{task}{place}:{metric}': better
    for task, (metric, better) in zip(('seg', 'depth', 'normal'), _metrics.items(), strict=True)
    for place in ('', '-unseen')
}
reference = 'plain'
checks = [
    'background.seg-unseen:mIoU > plain.seg-unseen:mIoU',
    'background.depth-unseen:RMSE < plain.depth-unseen:RMSE',
    'background.normal-unseen:mean < plain.normal-unseen:mean',
]
