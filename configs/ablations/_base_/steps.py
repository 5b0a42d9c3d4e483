"""How the error of a finetuned pose model falls with the steps of pretraining and with the number of labels."""

_percents = (100, 10, 1)
_part = 'pose:+train_dataloader.dataset.part'
_labels = {percent: {} if percent == 100 else {_part: (0.0, percent / 100)} for percent in _percents}
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
_fractions = (0.125, 0.25, 0.5, 1)
# x: the fraction of the steps of pretraining, or the percentage of the labels.
power_laws = [
    *(
        dict(
            name=f'steps_labels-{percent}',
            metric='pose:val_loss',
            points={f'steps-x{fraction}_labels-{percent}': fraction for fraction in _fractions},
        )
        for percent in _percents
    ),
    dict(
        name='labels_steps-x1',
        metric='pose:val_loss',
        points={f'steps-x1_labels-{percent}': percent for percent in _percents},
    ),
]
checks = [
    f'steps-x1_labels-{percent}.pose:{claim.format(percent)}'
    for percent in _percents
    for claim in ('AP > steps-x0.125_labels-{}.pose:AP', 'val_loss < steps-x0.125_labels-{}.pose:val_loss')
]
