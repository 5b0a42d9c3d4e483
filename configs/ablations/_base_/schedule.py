"""How the learning rate falls while pose is finetuned, at equal budgets: linearly (as in the paper), by a cosine, or in steps
(as in the released config)."""

metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
reference = 'linear'
checks = ['linear.pose:AP > step.pose:AP']
