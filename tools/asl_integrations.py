"""What botocore does not know of Step Functions: its optimized integrations, and errors that are nobody's model's."""

from __future__ import annotations

import re

# Optimized integrations that this project may come to use: action -> the patterns it has beside request and response.
OPTIMIZED: dict[str, dict[str, frozenset[str]]] = {
    "lambda": {"invoke": frozenset({".waitForTaskToken"})},
    "sagemaker": {
        "createEndpoint": frozenset(),
        "createEndpointConfig": frozenset(),
        "createHyperParameterTuningJob": frozenset({".sync"}),
        "createLabelingJob": frozenset({".sync"}),
        "createModel": frozenset(),
        "createProcessingJob": frozenset({".sync"}),
        "createTrainingJob": frozenset({".sync"}),
        "createTransformJob": frozenset({".sync"}),
        "updateEndpoint": frozenset(),
    },
    "codebuild": {
        "startBuild": frozenset({".sync"}),
        "stopBuild": frozenset(),
        "batchDeleteBuilds": frozenset(),
        "batchGetReports": frozenset(),
    },
    "states": {"startExecution": frozenset({".sync", ".sync:2", ".waitForTaskToken"})},
    "sns": {"publish": frozenset({".waitForTaskToken"})},
    "sqs": {"sendMessage": frozenset({".waitForTaskToken"})},
    "events": {"putEvents": frozenset({".waitForTaskToken"})},
    "apigateway": {"invoke": frozenset({".waitForTaskToken"})},
    "dynamodb": dict.fromkeys(("getItem", "putItem", "updateItem", "deleteItem"), frozenset()),
}
# Optimized actions that take fewer arguments than the API has.
ACCEPTED = {
    ("sagemaker", "updateEndpoint"): {"EndpointName", "EndpointConfigName"},
    ("sagemaker", "createEndpoint"): {"EndpointName", "EndpointConfigName", "Tags"},
    ("sagemaker", "createEndpointConfig"): {"EndpointConfigName", "KmsKeyId", "ProductionVariants", "Tags"},
}
# Errors of optimized integrations, which are of SDK 1: what precedes the dot, and the service's base exception.
OPTIMIZED_ERRORS = {
    "sagemaker": ("SageMaker", "AmazonSageMaker"),
    "codebuild": ("CodeBuild", "AWSCodeBuild"),
    "states": ("StepFunctions", "AWSStepFunctions"),
    "sns": ("SNS", "AmazonSNS"),
    "sqs": ("SQS", "AmazonSQS"),
    "events": ("EventBridge", "AmazonEventBridge"),
    "dynamodb": ("DynamoDB", "AmazonDynamoDB"),
}
# Arguments that take any JSON, which Step Functions writes down (S3's Body: a text in quotation marks, too).
ANY_JSON = {
    ("lambda", "Payload"),
    ("s3", "Body"),
    ("sfn", "Input"),
    ("states", "Input"),
    ("sns", "Message"),
    ("sqs", "MessageBody"),
}
# apigateway:invoke is no operation of an API: its arguments are Step Functions' own.
API_REQUIRED = frozenset({"ApiEndpoint", "Method"})
API_ARGUMENTS = API_REQUIRED | {
    "AllowNullValues",
    "AuthType",
    "Headers",
    "Path",
    "QueryParameters",
    "RequestBody",
    "Stage",
}
API_ERROR = re.compile(r"ApiGateway\.[45]\d\d")

_STATES_ERRORS = """
ALL TaskFailed Timeout HeartbeatTimeout Permissions Runtime DataLimitExceeded NoChoiceMatched BranchFailed
ExceedToleratedFailureThreshold ItemReaderFailed ResultWriterFailed QueryEvaluationError Http.Socket"""
STATES_ERRORS = frozenset(f"States.{name}" for name in _STATES_ERRORS.split())
_LAMBDA_ERRORS = """
Lambda.ServiceException Lambda.AWSLambdaException Lambda.SdkClientException Lambda.TooManyRequestsException
Lambda.ResourceNotFoundException Lambda.ClientExecutionTimeoutException Lambda.Unknown Sandbox.Timedout
Runtime.ExitError"""
LAMBDA_ERRORS = frozenset(_LAMBDA_ERRORS.split())
