"""Which of the differences between two configurations of any training script matter."""
