"""Published scores: what each needs, its evaluation in parts, and the table of what was reproduced."""
