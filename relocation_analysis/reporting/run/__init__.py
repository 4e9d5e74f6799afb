"""A run: chapters executed in kernels of their own, made one record that says where it came from, and put in its place."""
