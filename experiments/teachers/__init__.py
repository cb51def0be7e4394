"""Training of teachers: a fine-tuned bi-encoder and a cross-encoder."""
