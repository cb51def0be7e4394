"""The texts that the student is trained on besides documents."""
