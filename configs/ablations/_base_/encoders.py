"""Encoders of timm and mmpretrain next to SapiensViT under the same head for pose, all from scratch, with about equal
parameters. No claim: the paper compares none."""

metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
reference = 'sapiens'
