"""What the scores of auditors are worth: metrics with intervals, protocols."""
