"""Precision of pretraining and finetuning: float32, and products in bfloat16."""

metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
checks = ['bf16.pose:AP > fp32.pose:AP - 0.01']
