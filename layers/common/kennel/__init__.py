"""What the functions share. Imports the standard library, botocore and Powertools; clients are arguments.

Values that every cold start of classify needs are NamedTuples: a dataclass takes several times as long to be made.
"""
