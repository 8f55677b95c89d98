"""What `experiments.benchmark` times: each of ours beside what a user would pick instead."""
