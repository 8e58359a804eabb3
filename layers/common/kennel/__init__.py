"""What the functions share. Imports the standard library, botocore and Powertools; clients are arguments."""
