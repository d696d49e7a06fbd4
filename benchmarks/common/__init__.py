"""What benchmarks share: `goals` (the exit code, too), `hardware`, synthetic `lengths`, `padded_rows`."""
