# Ours, for CPUs, quickstarts and tests: 6 blocks of 192, 3 heads; nothing is published for it.
backbone = dict(type='SapiensViT', arch='tiny')
finetune = dict(layer_decay_rate=0.85, max_norm=1.0)
