"""Methods: one file per method, named after it. Their interface is in `_contract.py`.

A method can reach neither files nor labels.
"""
