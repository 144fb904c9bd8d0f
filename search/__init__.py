"""Search for the regularization strengths of a training recipe, and judgement of each."""
