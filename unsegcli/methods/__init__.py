"""One file is one method; the file's name is the method's name. What each must have is said in `_contract.py`.

A method can reach neither files nor labels.
"""
