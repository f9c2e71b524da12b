"""The rules of correctness (R001-R253), and which tests prove each: docs/rules.md.

A test proves the rules whose numbers are in its name, `test_R042_...`; a transcript those that its
comments name. `python -m tests.rules` writes the document, and a test compares the two.
"""
