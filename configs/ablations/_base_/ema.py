"""Averages of the weights, and how long they reach back."""

_hook = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', gamma=10)
variants = [
    # Current weights count gamma / (gamma + step), here 1: the average is a copy of them.
    dict(name='off', options={'pose:+default_hooks.ema': dict(_hook, momentum=0.002, gamma=10**12)}),
    *(
        dict(name=f'momentum-{momentum}', options={'pose:+default_hooks.ema': dict(_hook, momentum=momentum)})
        for momentum in (0.0005, 0.002, 0.01)
    ),
]
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
checks = ['momentum-0.002.pose:AP > off.pose:AP']
