"""A vocabulary for the corpus: trainers, the choice of its size, the tokenizer file."""
