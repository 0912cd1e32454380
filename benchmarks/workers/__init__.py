"""Workers to compare with: the same voices without our program round them."""
