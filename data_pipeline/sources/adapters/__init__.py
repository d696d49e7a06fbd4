"""One module a public record shape: a raw record -> one Comparison, or several for a tree."""
