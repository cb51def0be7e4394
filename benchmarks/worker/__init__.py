"""What runs on the board. These files are copied there alone and import nothing of ours."""
