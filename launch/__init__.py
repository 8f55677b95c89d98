"""How jobs start elsewhere: programs that render commands and never train."""
