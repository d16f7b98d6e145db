"""The rules: pure functions of what was observed and the time. No I/O, no clock, no asyncio."""
