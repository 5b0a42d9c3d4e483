"""What people wear, and their hair; :mod:`sapiens.synthetic.clothing` puts it together."""
