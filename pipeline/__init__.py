"""The factory: from a recipe to a distilled student and its evaluation."""
