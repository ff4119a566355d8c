"""Songs judged by stated criteria: the analysis that is asked for, and what it is measured with."""
