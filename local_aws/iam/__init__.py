"""IAM, enforced: every call made under a role is checked against that role's policies, as deployed."""
