# 6 blocks of 192, 3 heads: for CPUs, the quickstart and tests. There is no published model of this size.
backbone = dict(type='SapiensViT', arch='tiny')
