"""The verdict as a person needs it: what is wrong, what to change, how sure, what it gains."""
