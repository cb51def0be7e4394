"""Vectors of a teacher: their files, the encoding of many texts in shards, the reduction of the dimension."""
