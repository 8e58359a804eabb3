"""What a person runs beside the stack: the demo, the drawn data set, checkers, local invocation."""
