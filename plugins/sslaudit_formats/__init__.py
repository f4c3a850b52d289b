"""What stands in a file: recognised by its bytes, and read without running anything of it."""
