"""The paper's and Milestone 1's figures."""
