"""How a program is computed. Every engine gives the values of the reference engine."""
