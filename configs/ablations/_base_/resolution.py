"""Size of the crops of pose, at equal images and at equal tokens of the encoder: half and 1.5 times the recipe."""

metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
reference = 'base'
checks = [
    'large-images.pose:AP > base.pose:AP',
    'large-tokens.pose:AP > base.pose:AP',
    'base.pose:AP > half-images.pose:AP',
    'base.pose:AP > half-tokens.pose:AP',
]
