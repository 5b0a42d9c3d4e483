"""Ablation studies: variants of a training from one file, run, resumed and compared."""
