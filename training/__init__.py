"""How the embedded model is made: not shipped, run by hand, its results committed."""
