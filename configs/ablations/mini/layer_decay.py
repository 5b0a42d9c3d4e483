"""Layer-wise decay of the learning rate while the tiny pose model is finetuned.

The paper finetunes with 0.85. sapiens ablate mini/layer_decay run --on local:2
"""

base = 'pose/sapiens_tiny_synthetic17-128x96'
variants = [
    dict(name=f'decay-{rate}', options={'optim_wrapper.paramwise_cfg.layer_decay_rate': rate})
    for rate in (1.0, 0.95, 0.85, 0.75)
]
seeds = [0, 1]
metrics = {'AP': 'higher', 'val_loss': 'lower'}
checks = ['decay-0.85.AP > decay-1.0.AP']
