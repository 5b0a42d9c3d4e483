# 6 blocks of 192, 3 heads: for CPUs and tests. There is no published model of this size.
backbone = dict(type='Sapiens2ViT', arch='tiny')
