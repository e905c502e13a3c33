"""What is kept of people and their talks. Every function says who asks; none reaches what is not theirs."""
