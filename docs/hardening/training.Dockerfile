# AWS's image for training on CPUs, with the packages that it lacks: for a stack whose jobs cannot reach a package index.
ARG REGION
FROM 763104351884.dkr.ecr.${REGION}.amazonaws.com/pytorch:2.13-cpu-amzn2023-sagemaker
COPY requirements-training.txt /tmp/requirements.txt
RUN python -m pip install --no-cache-dir --requirement /tmp/requirements.txt && rm /tmp/requirements.txt
