"""Losses of normals: cosine and absolute errors, and the gradient term of the second generation."""

_base_ = '../../_base_/losses/normal.py'

variants = [dict(name=name, options={'normal:model.losses': losses}) for name, losses in _base_._losses.items()]
metrics = {'normal:mean': 'lower', 'normal:within_11.25': 'higher'}
checks = ['gradient.normal:mean < cosine-l1.normal:mean', 'cosine-l1.normal:mean < cosine.normal:mean']
