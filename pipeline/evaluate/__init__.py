"""How well the shipped file ranks, and what is compared with it."""
