"""What you may put your own parts on trial with; independent of the parts that are on trial."""
