"""The parts of benchmarks.full_pipeline."""
