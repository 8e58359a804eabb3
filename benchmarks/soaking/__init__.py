"""What `benchmarks.soak` is made of: requests, runs, kills, what was acknowledged, and what is measured meanwhile."""
