"""Statistics on sufficient statistics: every test is algebra on the `Moments` of each arm.

Pure and useful alone; each module is one noun. What has no answer is an `Undefined` with its reason, never p = 1.
"""
