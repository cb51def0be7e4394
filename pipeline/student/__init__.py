"""The small encoder: its model, and where its first weights come from."""
