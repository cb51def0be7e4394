"""Which tensor of the student is stored in how many bits, as the recipe says or as fits a number of bytes."""
