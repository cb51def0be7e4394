"""Training the student towards the teacher's vectors."""
