"""Forms of archives, made by encoders that this project did not write (the vendors' SDKs, Arrow, the standard library) or after documented examples.

For tests and benchmarks; nothing here is needed to run the project.
"""
