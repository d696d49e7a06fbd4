"""The one record of the system, `comparison.Comparison`; `checks`: is it worth keeping; `selection` changes its K."""
