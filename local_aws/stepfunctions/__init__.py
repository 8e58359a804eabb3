"""Step Functions: what MiniStack's interpreter of state machines lacks or does otherwise than AWS.

`tasks` runs one Task state: events, limits, Retry and Catch. `integrations.call_integration` is the one place where a
state calls a service. `sync` waits for jobs and nested executions, `tokens` for SendTaskSuccess and its siblings,
`machine` begins and ends executions, `schedules` starts them by the clock. patches.py puts it all in place.
"""
