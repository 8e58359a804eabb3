"""SageMaker: training jobs as processes, endpoints as serving processes."""
