"""What :mod:`sapiens.synthetic.pose` is made of: a fast skeleton, limbs as a few angles and their solver, and the actions."""
