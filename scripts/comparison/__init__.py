"""What `scripts/compare.py` is made of: baselines, their training, measures, trials and pages."""
