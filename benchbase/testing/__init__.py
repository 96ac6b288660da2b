"""For those who write plugins: contracts to inherit, probes of every kind of technique, tiny parts and data.

Import what you need from its module: `benchbase.testing.contracts`, `.probes`, `.tiny`, `.world`, `.build`.
"""
