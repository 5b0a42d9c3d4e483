# The encoder of sapiens2_1b.py behind a tokenizer of 4x4 patches, 4 blocks: 4096x3072 pixels in 3072 tokens; 1.607 B parameters.
backbone = dict(
    type='Sapiens2ViT',
    arch='1b',
    tokenizer=True,
    window_chunk=1024,
    init_cfg=dict(type='Pretrained', checkpoint='sapiens2-pretrain-1b-4k'),
)
layer_decay_rate = 0.9
max_norm = 4.0
