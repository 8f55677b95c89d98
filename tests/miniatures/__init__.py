"""Small databases in the layouts of the real ones, by code that knows nothing of the program."""
