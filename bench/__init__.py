"""Benchmarks: figures beside what they are compared with, measured in one run. Never part of the tests."""
