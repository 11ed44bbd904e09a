"""``--sweep``: one job per combination of parameters, and one value of all of them."""
