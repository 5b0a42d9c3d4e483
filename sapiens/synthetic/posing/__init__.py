"""Parts of :mod:`sapiens.synthetic.pose`: a fast rig, limbs parameterized by a few angles, their solver, and the actions."""
