"""One module a public record shape: a raw record -> one Comparison, or several of a tree."""
