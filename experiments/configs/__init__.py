"""One file an experiment; its docstring says what it does and the command that runs it."""
