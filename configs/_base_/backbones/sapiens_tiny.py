# 6 blocks of 192, 3 heads: for CPUs, the quickstart and tests. There is no published model of this size.
backbone = dict(type='SapiensViT', arch='tiny')
finetune = dict(layer_decay_rate=0.85, max_norm=1.0)
