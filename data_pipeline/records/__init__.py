"""The one record of the system: `comparison.Comparison`; `checks` says which are worth keeping, `selection` changes K."""
