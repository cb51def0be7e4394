"""Every kind of teacher through all stages, and every kind that is refused: the tables of docs."""
