"""What people look at: panels, contact sheets and reports, and label maps exported for other programs.

Nothing here is measured or learnt, and nothing reads ground truth: that is handed in.
"""
